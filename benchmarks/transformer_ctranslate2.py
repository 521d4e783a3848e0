"""Worker: the model of `transformer_ours.py` in CTranslate2, elsewhere installed.

python benchmarks/transformer_ctranslate2.py SIZES_AS_JSON            (ctranslate2 4.8)
"""

import json
import sys
import tempfile

import ctranslate2
import numpy as np
from side_by_side import serve

SIZES = json.loads(sys.argv[1])
BATCH, SOURCE, TARGET = SIZES["batch"], SIZES["source"], SIZES["target"]
UNITS, VOCABULARY = SIZES["units"], SIZES["vocabulary"]
TOKENS = ["<blank>", "<unk>", "<s>", "</s>", *(str(i) for i in range(4, VOCABULARY))]
STATE = {}
THREADS = SIZES["threads"]


def attention(spec, arrays, name, fused):
    """Query, key and value are one matrix; of a memory key and value are."""
    kernels = [
        arrays[f"{name}/{x}/kernel"].reshape(UNITS, UNITS).T for x in ("query", "key", "value")
    ]
    biases = [arrays[f"{name}/{x}/bias"].ravel() for x in ("query", "key", "value")]
    groups = [slice(0, 3)] if fused else [slice(0, 1), slice(1, 3)]
    for linear, group in zip(spec.linear, groups, strict=False):
        linear.weight = np.concatenate(kernels[group])
        linear.bias = np.concatenate(biases[group])
    spec.linear[-1].weight = arrays[f"{name}/output/kernel"].reshape(UNITS, UNITS).T
    spec.linear[-1].bias = arrays[f"{name}/output/bias"]


def norm(spec, arrays, name):
    spec.gamma, spec.beta = arrays[f"{name}/weight"], arrays[f"{name}/bias"]


def stack(spec, arrays, side):
    embedding = spec.embeddings[0] if side == "encoder" else spec.embeddings
    embedding.weight = arrays[f"{side}/embedding"]
    length = max(SOURCE, TARGET) + 2
    angles = np.arange(length)[:, None] * 10000.0 ** (-2 * np.arange(UNITS // 2) / UNITS)
    waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, UNITS)
    spec.position_encodings.encodings = waves.astype("float32")
    for i, layer in enumerate(spec.layer):
        name = f"{side}/{i}"
        attention(layer.self_attention, arrays, f"{name}/self", True)
        norm(layer.self_attention.layer_norm, arrays, f"{name}/norm1")
        if side == "decoder":
            attention(layer.attention, arrays, f"{name}/cross", False)
            norm(layer.attention.layer_norm, arrays, f"{name}/norm2")
        last = "norm3" if side == "decoder" else "norm2"
        norm(layer.ffn.layer_norm, arrays, f"{name}/{last}")
        for j, linear in enumerate((layer.ffn.linear_0, layer.ffn.linear_1), start=1):
            linear.weight = np.ascontiguousarray(arrays[f"{name}/dense{j}/kernel"].T)
            linear.bias = arrays[f"{name}/dense{j}/bias"]
    norm(spec.layer_norm, arrays, f"{side}/norm")


def setup(arrays):
    sources = arrays.pop("sources")
    STATE["sources"] = [[TOKENS[i] for i in row] for row in sources]
    spec = ctranslate2.specs.TransformerSpec.from_config(
        (SIZES["layers"], SIZES["layers"]), SIZES["heads"], pre_norm=True
    )
    stack(spec.encoder, arrays, "encoder")
    stack(spec.decoder, arrays, "decoder")
    spec.decoder.projection.weight = np.ascontiguousarray(arrays["logits/kernel"].T)
    spec.decoder.projection.bias = arrays["logits/bias"]
    spec.register_source_vocabulary(TOKENS)
    spec.register_target_vocabulary(TOKENS)
    spec.config.layer_norm_epsilon = 1e-5
    spec.config.add_source_eos = False
    spec.validate()
    folder = tempfile.mkdtemp()
    spec.save(folder)
    for threads in THREADS:
        STATE[threads] = ctranslate2.Translator(
            folder, device="cpu", compute_type="float32", intra_threads=threads
        )


def search(batch, threads):
    def run(_):
        found = STATE[threads].translate_batch(
            STATE["sources"][:batch],
            beam_size=1,
            max_decoding_length=TARGET,
            min_decoding_length=TARGET,
        )
        ids = [[TOKENS.index(token) for token in x.hypotheses[0]] for x in found]
        return {"ids": np.array(ids, "int32")}

    return run


FUNCTIONS = {
    f"greedy_{batch}_threads_{threads}": search(batch, threads)
    for batch in (BATCH, 1)
    for threads in THREADS
}
serve({"setup": setup, **FUNCTIONS})
