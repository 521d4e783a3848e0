"""Attention with heads and Transformers of torch.nn and Keras: same weights, same numbers."""

from pathlib import Path

import keras
import numpy as np
import pytest

import keras_attention as ka
from keras_attention import migrate
from tests.arrays import as_float64, assert_close

TORCH = np.load(Path(__file__).parent / "fixtures" / "torch.npz")
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
E, HEADS, INNER, KDIM, VDIM = 6, 3, 11, 7, 13
PADDED = np.arange(5) < TORCH["lengths"][:, None]


def case(name):
    found = {n.removeprefix(f"{name}/"): TORCH[n] for n in TORCH.files if n.startswith(f"{name}/")}
    state = {n.removeprefix("variables/"): x for n, x in found.items() if "variables/" in n}
    return found, state


def loaded(layer, state, *shapes):
    layer.build(*shapes)
    filled = migrate.load_torch(layer, state)
    assert set(filled) == set(state)
    assert sorted(p for paths in filled.values() for p in paths) == sorted(
        weight.path for weight in layer.trainable_weights
    )
    return layer


@pytest.mark.parametrize("layer_class", [ka.MultiHeadCrossAttention, ka.MultiHeadSelfAttention])
def test_multi_head_attention_of_torch(layer_class):
    arrays, state = case("attention")
    layer = layer_class(HEADS, E // HEADS)
    if layer_class is ka.MultiHeadSelfAttention:
        loaded(layer, state, (None, None, E))
        other = loaded(ka.MultiHeadCrossAttention(HEADS, E // HEADS), state, *[(None, None, E)] * 2)
        assert_close(layer(arrays["query"]), other(arrays["query"], arrays["query"]), **CLOSE)
        return
    loaded(layer, state, (None, None, E), (None, None, E))
    given = {"value_mask": PADDED, "return_attention_scores": True}
    output, weights = layer(arrays["query"], arrays["memory"], **given)
    assert_close(output, arrays["output"], **CLOSE)
    assert_close(weights, arrays["weights"], **CLOSE)


def test_multi_head_attention_of_torch_with_other_sizes():
    arrays, state = case("attention_sizes")
    layer = ka.MultiHeadCrossAttention(HEADS, E // HEADS, use_bias=False)
    loaded(layer, state, (None, None, E), (None, None, VDIM), (None, None, KDIM))
    output, weights = layer(
        arrays["query"], arrays["value"], arrays["key"], return_attention_scores=True
    )
    assert_close(output, arrays["output"], **CLOSE)
    assert_close(weights, arrays["weights"], **CLOSE)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_blocks_of_torch(norm):
    arrays, state = case(f"encoder_{norm}")
    block = ka.TransformerEncoderBlock(HEADS, E // HEADS, INNER, norm=norm, activation="gelu")
    loaded(block, state, (None, None, E))
    found = as_float64(block(arrays["memory"], inputs_mask=PADDED))
    # Their padding has outputs, which mean nothing; ours is 0.
    assert_close(found[PADDED], arrays["output"][PADDED], **CLOSE)
    assert not found[~PADDED].any()
    arrays, state = case(f"decoder_{norm}")
    block = ka.TransformerDecoderBlock(HEADS, E // HEADS, INNER, norm=norm)
    loaded(block, state, (None, None, E), (None, None, E))
    found = block(arrays["query"], arrays["memory"], memory_mask=PADDED)
    assert_close(found, arrays["output"], **CLOSE)


def test_the_blocks_of_a_model_of_torch():
    arrays, state = case("model")
    model = ka.TransformerSeq2Seq(
        19, 17, units=E, num_heads=HEADS, num_layers=2, feedforward_dim=INNER
    )
    model.build({"source": (None, None), "target": (None, None)})
    migrate.load_torch(model, state)
    x = arrays["source"]
    for block in model.encoder.blocks:
        x = block(x, inputs_mask=PADDED)
    memory, x = model.encoder.finish(x), arrays["target"]
    for block in model.decoder.blocks:
        x = block(x, memory, memory_mask=PADDED)
    assert_close(model.decoder.finish(x), arrays["output"], **CLOSE)


@pytest.mark.parametrize("shared", [None, 2])
def test_multi_head_attention_of_keras(shared):
    generator = np.random.default_rng(0)
    query = generator.standard_normal((2, 3, 5)).astype("float32")
    value = generator.standard_normal((2, 7, 11)).astype("float32")
    if shared:
        theirs = keras.layers.GroupQueryAttention(13, 4, shared)
    else:
        theirs = keras.layers.MultiHeadAttention(4, 13, value_dim=17)
    theirs.build(query.shape, value.shape)
    for weight in theirs.weights:
        weight.assign(generator.standard_normal(weight.shape).astype("float32"))
    ours = ka.MultiHeadCrossAttention(
        4, 13, value_dim=None if shared else 17, num_key_value_heads=shared
    )
    ours.build(query.shape, value.shape)
    migrate.load_keras_attention(ours, {w.path: as_float64(w) for w in theirs.weights})
    mask = np.array([[True] * 7, [True] * 4 + [False] * 3])
    given = {"value_mask": mask, "return_attention_scores": True}
    wanted = theirs(query, value, **given)
    found = ours(query, value, **given)
    assert_close(found[0], wanted[0], rtol=1e-4, atol=1e-4)
    assert_close(found[1], wanted[1], rtol=1e-4, atol=1e-5)


SHAPE = (None, None, E)


def built(layer, *shapes):
    layer.build(*shapes)
    return layer


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: ka.MultiHeadSelfAttention(HEADS, 2), "to be built"),
        (lambda: built(ka.MultiHeadSelfAttention(HEADS, 2, sinks=True), SHAPE), "without .*sinks"),
        (lambda: built(ka.MultiHeadSelfAttention(HEADS, 2), SHAPE), "Expected only .*linear1"),
        (lambda: built(ka.TransformerEncoderBlock(HEADS, 2, 7), SHAPE), r"of shape \(7, 6\)"),
        (lambda: built(keras.layers.Dense(3), SHAPE), "Received: <Dense"),
    ],
)
def test_what_does_not_fit_is_refused(layer, message):
    layer = layer()
    before = [as_float64(weight) for weight in layer.weights]
    state = case("encoder_pre")[1]
    state = (
        {n.removeprefix("self_attn."): x for n, x in state.items()}
        if ("linear1" in message or "sinks" in message)
        else state
    )
    with pytest.raises(ValueError, match=message):
        migrate.load_torch(layer, state)
    for weight, x in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(as_float64(weight), x)
    with pytest.raises(ValueError, match="Expected"):
        migrate.load_keras_attention(layer, {})
