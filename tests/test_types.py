"""Programs as a type checker reads them: the right one is clean, each wrong line is found."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

RIGHT = """
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_attention as ka
from keras_attention.decoding import Constraints
from keras_attention.migrate import load_addons
from keras_attention.text import Tokenizer
from keras_attention_serving import Client, ModelMetadata, ServingError


def layers(recurrent: keras.layers.Layer) -> list[keras.layers.Layer]:
    additive = ka.BahdanauAttention(7, normalize=True, dropout=0.1, kernel_initializer="he_normal")
    return [
        additive,
        ka.LuongAttention("general", scale=True, seed=5),
        ka.LocalAttention(additive, window=3, position="predictive"),
        ka.LocationSensitiveAttention(additive, filters=3, kernel_size=7),
        ka.CoverageAttention(additive),
        ka.MonotonicAttention(additive, noise=0.5, score_bias=-2.0),
        ka.TimeDistributedScorer(keras.layers.Dense(1), dropout=0.2),
        ka.MultiHeadSelfAttention(2, 3, window=5, rotary=ka.RotaryPositions(), dtype="float32"),
        ka.MultiHeadCrossAttention(num_heads=2, key_dim=3, use_bias=False),
        ka.TransformerEncoderBlock(2, 3, 11, activation=keras.activations.gelu),
        ka.ByteNetBlock(13, dilation_rate=2, causal=False),
        ka.KeepMask(recurrent),
    ]


def model(name: str) -> ka.Seq2Seq:
    seq2seq = ka.TransformerSeq2Seq(31, 37, units=16, num_heads=2, positions="sinusoidal")
    seq2seq.compile(
        optimizer=keras.optimizers.Adam(ka.InverseSquareRoot(rate=0.001, warmup_steps=7)),
        loss=[ka.SequenceCrossentropy(label_smoothing=0.1), ka.GuidedAlignmentLoss("mse")],
        metrics=[ka.TokenAccuracy(pad_id=0), ka.SequenceAccuracy(name=name)],
    )
    return seq2seq


def subclass() -> type[ka.AttentionBase]:
    class DotAttention(ka.AttentionBase):
        def compute_scores(self, query: Any, key: Any) -> Any:
            return keras.ops.matmul(query, keras.ops.swapaxes(key, -1, -2))

    return DotAttention


def search(seq2seq: ka.Seq2Seq, source: "np.ndarray[Any, Any]") -> Any:
    constraints = Constraints(min_length=3, repetition_penalty=1.5)
    found = seq2seq.beam_search(source, beam_width=3, max_length=11, constraints=constraints)
    config = ka.RNNSeq2Seq(31, 37, units=5, cell="lstm").get_config()
    return found.ids, ka.RNNSeq2Seq.from_config(config).units


def export(seq2seq: ka.Seq2Seq, folder: Path) -> Path:
    source, target = Tokenizer.load("source.model"), Tokenizer.train(["a", "b"], kind="char")
    return ka.export(
        seq2seq,
        folder / "dates",
        source_tokenizer=source,
        target_tokenizer=target,
        max_length=11,
        presets={"polite": ("beam", {"length_penalty": 0.6})},
        warmup=["3 May 2021"],
    )


def names(layer: keras.layers.Layer, variables: "dict[str, np.ndarray[Any, Any]]") -> list[str]:
    return sorted(load_addons(layer, variables))


def ask(target: str) -> str:
    with Client(target, timeout=5.0) as client:
        try:
            outputs = client.predict("dates", {"text": ["3 May 2021"]}, version=1)
        except ServingError as error:
            return f"{error.code}: {error}"
        metadata: ModelMetadata = client.metadata("dates")
        return str(outputs["text"][0]) + str(metadata.version)
"""

WRONG = """
import keras_attention as ka
from keras_attention.decoding import beam_search
from keras_attention.migrate import load_torch
from keras_attention.text import Tokenizer, read_pairs
from keras_attention_serving import Client
from keras_attention_serving.protocol import tensors, wire

ka.BahdanauAttention("7")
ka.BahdanauAttention(units=7, heads=2)
ka.LuongAttention(score=3)
ka.LocalAttention(ka.LuongAttention(), window="wide")
ka.MultiHeadSelfAttention(2, 3, use_causal_mask=True)
ka.TransformerEncoderBlock(2, 3)
ka.ByteNetBlock(13, dilation=2)
ka.RNNSeq2Seq(31, 37, units=5, cell=5)
ka.TransformerLM(31, norm=1)
ka.SequenceCrossentropy(label_smoothing="0.1")
ka.InverseSquareRoot(0.001)
ka.export(ka.TransformerLM(31), 3)
ka.export(ka.TransformerLM(31), "dates", max_length="11")
ka.export(ka.TransformerLM(31), "dates", beams=3)
Tokenizer.train("texts", vocabulary_size="8000")
read_pairs(3)
load_torch(ka.TransformerLM(31), [("name", 1.0)])
beam_search(None, [], None, beam_width="3", batch_size=1, start_id=2, end_id=3, max_length=5)
Client(8500)
Client("localhost:8500").predict("dates", {"text": ["a"]}, version="1")
Client("localhost:8500").ask("dates")
wire.PredictRequest(model_sepc=None)
wire.PredictRequest().model_spec.name = 3
wire.GetModelStatusRequest().model_spec = wire.ModelSpec()
tensors.to_array("text")
"""


def errors_of(program, folder):
    """Output of mypy, by the number of the line."""
    path = folder / "program.py"
    path.write_text(program)
    # Sources in place of an installed package, of which a checker reports nothing.
    options = ["--strict", "--ignore-missing-imports", "--follow-imports=silent"]
    options += ["--cache-dir", ROOT / ".mypy_cache" / "programs"]
    run = subprocess.run(
        [sys.executable, "-m", "mypy", *options, path],
        env={**os.environ, "MYPYPATH": f"{ROOT}:{ROOT / 'serving'}"},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert run.returncode in (0, 1), run.stdout + run.stderr
    lines = re.findall(r"program.py:(\d+): error: (.*)", run.stdout)
    return {int(number): message for number, message in lines}


def test_the_right_program_is_clean(tmp_path):
    assert errors_of(RIGHT, tmp_path) == {}


def test_every_wrong_line_is_caught(tmp_path):
    wrong = WRONG.splitlines()
    first = wrong.index('ka.BahdanauAttention("7")')
    found = errors_of(WRONG, tmp_path)
    assert sorted(found) == list(range(first + 1, len(wrong) + 1)), found
