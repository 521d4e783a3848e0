"""The numbers of TensorFlow Addons: see fixtures/README.md."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from keras_attention.ops import (
    additive_scores,
    dot_scores,
    expected_alignment,
    hard_alignment,
    hardmax,
)
from tests.arrays import as_float64, assert_close, assert_equal

FIXTURES = np.load(Path(__file__).parent / "fixtures" / "addons.npz")
CLOSE = {"rtol": 1e-5, "atol": 1e-6}
CELL, UNITS, SIZE = 13, 17, 19


def fixture(name):
    return FIXTURES[name]


def tensor(name):
    return ops.convert_to_tensor(fixture(name))


def test_hardmax():
    assert_equal(hardmax(tensor("hardmax/scores")), fixture("hardmax/weights"))


@pytest.mark.parametrize("mode", ["recursive", "parallel"])
def test_monotonic_alignment(mode):
    p = fixture("monotonic/p").astype("float64")
    scores = ops.convert_to_tensor(np.log(p / (1 - p)).astype("float32"))
    found = expected_alignment(scores, tensor("monotonic/previous"))
    assert_close(found, fixture(f"monotonic/{mode}"), **CLOSE)


def test_hard_monotonic_alignment():
    scores = tensor("monotonic_hard/p") * 2 - 1
    found = hard_alignment(scores, tensor("monotonic_hard/previous"))
    assert_equal(found, fixture("monotonic_hard/hard"))


def test_scores():
    query, keys = tensor("score/query")[:, None], tensor("score/keys")
    v, g, b = (fixture(f"score/{n}") for n in "vgb")
    assert_close(as_float64(dot_scores(query, keys))[:, 0] * g, fixture("score/luong"), **CLOSE)
    additive = additive_scores(query, keys, ops.convert_to_tensor(v))
    assert_close(additive[:, 0], fixture("score/bahdanau"), **CLOSE)
    normalized = ops.convert_to_tensor((g * v / np.sqrt(np.sum(v**2))).astype("float32"))
    additive = additive_scores(query + ops.convert_to_tensor(b), keys, normalized)
    assert_close(additive[:, 0], fixture("score/bahdanau_normalized"), **CLOSE)


def weights_of(case):
    """The wrapper's weights by name, without the wrapper's own."""
    start = f"{case}/weights/"
    found = {n.removeprefix(start): FIXTURES[n] for n in FIXTURES.files if n.startswith(start)}
    return {n.replace(":0", ""): x for n, x in found.items()}


def bahdanau_from(weights, layer, name):
    layer.key_dense.kernel.assign(weights[f"{name}/kernel"])
    wrapped = [n for n in weights if n.endswith(f"/{name}/kernel")]
    layer.query_dense.kernel.assign(weights[wrapped[0]])
    for one in ("attention_v", "attention_g", "attention_b"):
        if hasattr(layer, one):
            getattr(layer, one).assign(weights[f"{name}/{one}"])


def luong_from(weights, layer, name):
    layer.kernel.assign(weights[f"{name}/kernel"])
    if layer.scale:
        layer.attention_g.assign(weights[f"{name}/attention_g"])


def monotonic_from(load):
    def loaded(weights, layer, name):
        load(weights, layer.scorer, name)
        layer.attention_score_bias.assign(weights[f"{name}/attention_score_bias"])

    return loaded


def soft(scorer):
    return ka.MonotonicAttention(scorer, hard_inference=False)


WRAPPERS = {
    "bahdanau": (
        lambda: ka.AttentionCell(
            keras.layers.LSTMCell(CELL),
            ka.BahdanauAttention(UNITS, normalize=True),
            attention_layer_size=SIZE,
        ),
        {"bahdanau": bahdanau_from},
    ),
    "luong": (
        lambda: ka.AttentionCell(
            keras.layers.GRUCell(CELL), ka.LuongAttention("general", scale=True), output="cell"
        ),
        {"luong": luong_from},
    ),
    "bahdanau_monotonic_recursive": (
        lambda: ka.AttentionCell(keras.layers.GRUCell(CELL), soft(ka.BahdanauAttention(UNITS))),
        {"bahdanaumonotonic": monotonic_from(bahdanau_from)},
    ),
    "bahdanau_monotonic_hard": (
        lambda: ka.AttentionCell(
            keras.layers.GRUCell(CELL), ka.MonotonicAttention(ka.BahdanauAttention(UNITS))
        ),
        {"bahdanaumonotonic": monotonic_from(bahdanau_from)},
    ),
    "luong_monotonic": (
        lambda: ka.AttentionCell(
            keras.layers.GRUCell(CELL), soft(ka.LuongAttention("general", scale=True))
        ),
        {"luongmonotonic": monotonic_from(luong_from)},
    ),
    "two": (
        lambda: ka.AttentionCell(
            keras.layers.GRUCell(CELL),
            [ka.BahdanauAttention(UNITS), ka.LuongAttention("general")],
            attention_layer_size=[SIZE, UNITS],
        ),
        {"bahdanau": bahdanau_from, "luong": luong_from},
    ),
}


@pytest.mark.parametrize("case", WRAPPERS)
def test_attention_wrapper(case):
    """Same weights, same inputs: the same outputs and alignments."""
    make, loaders = WRAPPERS[case]
    cell, weights = make(), weights_of(case)
    inputs, memory = fixture(f"{case}/inputs"), fixture(f"{case}/memory")
    mask = np.arange(memory.shape[1]) < fixture(f"{case}/lengths")[:, None]
    cell(inputs, memory)
    for attention, (name, load) in zip(cell.attentions, loaders.items(), strict=True):
        load(weights, attention, name)
    inside = {n: x for n, x in weights.items() if "_cell" in n}
    cell.cell.set_weights(
        [next(x for n, x in inside.items() if n.endswith(f"/{w.name}")) for w in cell.cell.weights]
    )
    layers = [layer for layer in cell.attention_layers if layer is not None]
    for layer, suffix in zip(layers, ("", "#2"), strict=False):
        name = next(n for n in weights if n.endswith(f"attention_layer/kernel{suffix}"))
        layer.kernel.assign(weights[name])
    # Addons does not read what is masked, whatever it holds.
    spoilt = np.where(mask[..., None], memory, np.nan).astype("float32")
    outputs, found = cell(inputs, spoilt, mask, return_attention_scores=True)
    assert_close(outputs, fixture(f"{case}/outputs"), **CLOSE)
    for i, one in enumerate(found if cell.is_list else [found]):
        assert_close(one, fixture(f"{case}/alignments_{i}"), **CLOSE)
