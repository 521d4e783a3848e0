"""Worker: the model of `transformer_ours.py` around `torch.nn.Transformer`, elsewhere installed.

python benchmarks/transformer_torch.py SIZES_AS_JSON            (torch 2.13)
"""

import json
import math
import sys

import numpy as np
import torch
from side_by_side import serve
from torch import nn

SIZES = json.loads(sys.argv[1])
UNITS, VOCABULARY, RATE = SIZES["units"], SIZES["vocabulary"], SIZES["rate"]
PARTS = ("query", "key", "value")
BLOCK = {"self": "self_attn", "cross": "multihead_attn"}


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.source = nn.Embedding(VOCABULARY, UNITS)
        self.target = nn.Embedding(VOCABULARY, UNITS)
        self.transformer = nn.Transformer(
            UNITS,
            SIZES["heads"],
            SIZES["layers"],
            SIZES["layers"],
            SIZES["inner"],
            dropout=0.0,
            norm_first=True,
            batch_first=True,
        )
        self.logits = nn.Linear(UNITS, VOCABULARY)
        length = max(SIZES["source"], SIZES["target"])
        angles = np.arange(length)[:, None] * 10000.0 ** (-2 * np.arange(UNITS // 2) / UNITS)
        waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, UNITS)
        self.register_buffer("waves", torch.tensor(waves, dtype=torch.float32))
        causal = nn.Transformer.generate_square_subsequent_mask(SIZES["target"])
        self.register_buffer("causal", causal)

    def embed(self, table, tokens):
        return table(tokens) * math.sqrt(UNITS) + self.waves[: tokens.shape[1]]

    def forward(self, source, target):
        padding = source == 0
        hidden = self.transformer(
            self.embed(self.source, source),
            self.embed(self.target, target),
            tgt_mask=self.causal,
            tgt_is_causal=True,
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
        )
        return self.logits(hidden)


MODEL, START, DATA = Model(), {}, {}


def state_of(arrays):
    """Our arrays as the `state_dict` of the model."""
    state = {
        "source.weight": arrays["encoder/embedding"],
        "target.weight": arrays["decoder/embedding"],
        "logits.weight": arrays["logits/kernel"].T,
        "logits.bias": arrays["logits/bias"],
    }
    for side in ("encoder", "decoder"):
        for name in ("weight", "bias"):
            state[f"transformer.{side}.norm.{name}"] = arrays[f"{side}/norm/{name}"]
        for i in range(SIZES["layers"]):
            ours, theirs = f"{side}/{i}", f"transformer.{side}.layers.{i}"
            for kind in ("self", "cross")[: 1 + (side == "decoder")]:
                kernels = [arrays[f"{ours}/{kind}/{x}/kernel"] for x in PARTS]
                biases = [arrays[f"{ours}/{kind}/{x}/bias"].ravel() for x in PARTS]
                output = arrays[f"{ours}/{kind}/output/kernel"].reshape(UNITS, UNITS)
                fused = [x.reshape(UNITS, UNITS).T for x in kernels]
                state |= {
                    f"{theirs}.{BLOCK[kind]}.in_proj_weight": np.concatenate(fused),
                    f"{theirs}.{BLOCK[kind]}.in_proj_bias": np.concatenate(biases),
                    f"{theirs}.{BLOCK[kind]}.out_proj.weight": output.T,
                    f"{theirs}.{BLOCK[kind]}.out_proj.bias": arrays[f"{ours}/{kind}/output/bias"],
                }
            for j in (1, 2, 3)[: 2 + (side == "decoder")]:
                for name in ("weight", "bias"):
                    state[f"{theirs}.norm{j}.{name}"] = arrays[f"{ours}/norm{j}/{name}"]
            for j in (1, 2):
                state[f"{theirs}.linear{j}.weight"] = arrays[f"{ours}/dense{j}/kernel"].T
                state[f"{theirs}.linear{j}.bias"] = arrays[f"{ours}/dense{j}/bias"]
    return {name: torch.tensor(np.ascontiguousarray(x)) for name, x in state.items()}


def setup(arrays):
    DATA["source"] = torch.tensor(arrays.pop("sources")).long()
    DATA["target"] = torch.tensor(arrays.pop("targets")).long()
    START.update(state_of(arrays))
    found = MODEL.load_state_dict(START, strict=False)
    if set(found.missing_keys) != {"waves", "causal"} or found.unexpected_keys:
        raise RuntimeError(f"Other weights: {found}")


def step():
    logits = MODEL(DATA["source"], DATA["target"][:, :-1])
    labels = DATA["target"][:, 1:]
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def train(request):
    count = int(request.get("steps", 0))
    if count:
        MODEL.load_state_dict(START, strict=False)
    return {"losses": np.array([step() for _ in range(count or 1)])}


optimizer = torch.optim.SGD(MODEL.parameters(), lr=RATE)
serve({"setup": setup, "train": train})
