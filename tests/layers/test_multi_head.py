"""Both layers with heads, against the paper's formula and against Keras."""

import keras
import numpy as np
import pytest

import keras_attention as ka
from tests import oracles
from tests.arrays import as_float64, assert_close, assert_equal

B, TQ, TV, DQ, DV, DK = 2, 3, 5, 7, 11, 13
HEADS, KEY_DIM, VALUE_DIM, OUTPUT_DIM = 17, 19, 23, 29
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def random_inputs(**shapes):
    generator = np.random.default_rng(0)
    return {n: generator.standard_normal(shape).astype("float32") for n, shape in shapes.items()}


def randomize(layer):
    """Biases start at 0: as they are they would hide that one is left out."""
    generator = np.random.default_rng(1)
    shapes = [w.shape for w in layer.trainable_weights]
    layer.set_weights([0.3 * generator.standard_normal(shape) for shape in shapes])


def weights_of(layer):
    parts = [layer.query_dense, layer.key_dense, layer.value_dense, layer.output_dense]
    kernels = [as_float64(part.kernel) for part in parts]
    if layer.use_bias:
        return list(zip(kernels, [as_float64(part.bias) for part in parts], strict=True))
    (h, k), v, d = kernels[0].shape[1:], kernels[2].shape[2], kernels[3].shape[2]
    return list(zip(kernels, [np.zeros((h, k))] * 2 + [np.zeros((h, v)), np.zeros(d)], strict=True))


def mask_of(kind):
    generator = np.random.default_rng(2)
    shape = {"pairs": (B, TQ, TV), "heads": (B, HEADS, TQ, TV)}[kind]
    mask = generator.random(shape) < 0.6
    mask[0, ..., 1, :] = False  # a query that sees nothing
    return mask


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("kind", [None, "pairs", "heads"])
def test_cross_formula(use_bias, kind):
    inputs = random_inputs(query=(B, TQ, DQ), value=(B, TV, DV), key=(B, TV, DK))
    layer = ka.MultiHeadCrossAttention(
        HEADS, KEY_DIM, value_dim=VALUE_DIM, output_dim=OUTPUT_DIM, use_bias=use_bias
    )
    layer(**inputs)
    randomize(layer)
    mask = None if kind is None else mask_of(kind)
    found = layer(**inputs, attention_mask=mask, return_attention_scores=True)
    arrays = {name: x.astype("float64") for name, x in inputs.items()}
    expected = oracles.multi_head(**arrays, weights=weights_of(layer), mask=mask)
    assert_close(found[0], expected[0], **CLOSE)
    assert_close(found[1], expected[1], **CLOSE)


def test_self_formula():
    x = random_inputs(x=(B, TQ, DQ))["x"]
    layer = ka.MultiHeadSelfAttention(HEADS, KEY_DIM, value_dim=VALUE_DIM)
    layer(x)
    randomize(layer)
    mask = np.array([[True, True, False], [True, False, True]])
    found = layer(x, mask=mask, use_causal_mask=True, return_attention_scores=True)
    pairs = mask[:, None] & np.tri(TQ, dtype=bool)
    x = x.astype("float64")
    expected = oracles.multi_head(x, x, x, weights_of(layer), pairs)
    assert_close(found[0], expected[0] * mask[..., None], **CLOSE)
    assert_close(found[1], expected[1], **CLOSE)


def test_self_is_cross_with_itself():
    x = random_inputs(x=(B, TQ, DQ))["x"]
    ours = ka.MultiHeadSelfAttention(HEADS, KEY_DIM)
    cross = ka.MultiHeadCrossAttention(HEADS, KEY_DIM)
    ours(x), cross(x, x)
    cross.set_weights(ours.get_weights())
    assert_close(ours(x), cross(x, x), **CLOSE)
    assert_close(ours(x), cross(x, x, x), **CLOSE)


# Each with arguments that Keras gets right: an explicit `query_mask` is not among them, nor are
# rows that see nothing, a causal mask between sequences of different lengths and, on JAX, a
# `value_dim` of its own.
KERAS_CASES = {
    "plain": ((TQ, TV), {}),
    "value_mask": ((TQ, TV), {"value_mask": np.array([[True] * 3 + [False] * 2, [True] * 5])}),
    "attention_mask": (
        (TQ, TV),
        {"attention_mask": np.tile([[True] * 4 + [False]], (B, TQ, 1))},
    ),
    "causal": ((TV, TV), {"use_causal_mask": True}),
    "causal_value_mask": (
        (TV, TV),
        {"use_causal_mask": True, "value_mask": np.array([[True] * 3 + [False] * 2, [True] * 5])},
    ),
}


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("case", KERAS_CASES)
def test_equals_keras_with_the_same_weights(case, use_bias):
    (query_length, value_length), kwargs = KERAS_CASES[case]
    inputs = random_inputs(
        query=(B, query_length, DQ), value=(B, value_length, DV), key=(B, value_length, DK)
    )
    ours = ka.MultiHeadCrossAttention(HEADS, KEY_DIM, use_bias=use_bias)
    theirs = keras.layers.MultiHeadAttention(HEADS, KEY_DIM, use_bias=use_bias)
    ours(**inputs), theirs(**inputs)
    randomize(theirs)
    pairs = [
        (ours.query_dense, theirs.query_dense),
        (ours.key_dense, theirs.key_dense),
        (ours.value_dense, theirs.value_dense),
        (ours.output_dense, theirs.output_dense),
    ]
    for one, other in pairs:
        bias = [as_float64(other.bias).reshape(one.bias.shape)] if use_bias else []
        one.set_weights([as_float64(other.kernel), *bias])
    found = ours(**inputs, return_attention_scores=True, **kwargs)
    expected = theirs(**inputs, return_attention_scores=True, **kwargs)
    assert_close(found[0], expected[0], **CLOSE)
    assert_close(found[1], expected[1], **CLOSE)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="compares with PyTorch's layer")
@pytest.mark.parametrize("causal", [False, True])
def test_equals_pytorch_with_the_same_weights(causal):
    import torch

    size = HEADS * 2
    x = random_inputs(x=(B, TV, size))["x"]
    ours = ka.MultiHeadSelfAttention(HEADS, 2)
    ours(x)
    randomize(ours)
    theirs = torch.nn.MultiheadAttention(size, HEADS, batch_first=True)
    parts = [ours.query_dense, ours.key_dense, ours.value_dense]
    kernels = [as_float64(part.kernel).reshape(size, size).T for part in parts]
    biases = [as_float64(part.bias).reshape(size) for part in parts]
    last = ours.output_dense
    with torch.no_grad():
        for theirs_weight, array in (
            (theirs.in_proj_weight, np.concatenate(kernels)),
            (theirs.in_proj_bias, np.concatenate(biases)),
            (theirs.out_proj.weight, as_float64(last.kernel).reshape(size, size).T),
            (theirs.out_proj.bias, as_float64(last.bias)),
        ):
            theirs_weight.copy_(torch.from_numpy(array))
        # True = may attend, here; there it is the opposite.
        padding = np.array([[True] * 3 + [False] * 2, [True] * 5])
        hidden = torch.from_numpy(~np.tri(TV, dtype=bool)) if causal else None
        tensor = torch.from_numpy(x)
        expected = theirs(
            tensor,
            tensor,
            tensor,
            key_padding_mask=torch.from_numpy(~padding),
            attn_mask=hidden,
            average_attn_weights=False,
        )
    mask = np.broadcast_to(padding[:, None], (B, TV, TV))
    found = ours(x, attention_mask=mask, use_causal_mask=causal, return_attention_scores=True)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other.numpy(), **CLOSE)


def test_output_is_the_same_whether_or_not_weights_are_asked_for():
    """Also where a sequence is all padding, where Keras' own differs."""
    inputs = random_inputs(query=(B, TQ, DQ), value=(B, TV, DV))
    layer = ka.MultiHeadCrossAttention(HEADS, KEY_DIM, dropout=0.5)
    mask = np.array([[False] * TV, [True] * TV])
    with_weights, _ = layer(**inputs, value_mask=mask, return_attention_scores=True)
    # JAX and PyTorch have a fused kernel for the call without weights.
    # Fused forms of other backends round in another order; TensorFlow takes one form for both.
    exact = keras.backend.backend() == "tensorflow"
    close = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-5, "atol": 1e-6}
    assert_close(layer(**inputs, value_mask=mask), with_weights, **close)


def test_an_all_masked_sequence_gives_the_output_bias():
    inputs = random_inputs(query=(B, TQ, DQ), value=(B, TV, DV))
    layer = ka.MultiHeadCrossAttention(HEADS, KEY_DIM)
    layer(**inputs)
    layer.output_dense.bias.assign(np.arange(DQ))
    output = layer(**inputs, value_mask=np.array([[False] * TV, [True] * TV]))
    assert_equal(output[0], np.tile(np.arange(DQ), (TQ, 1)))


def test_a_masked_query_gives_zero_and_not_the_output_bias():
    inputs = random_inputs(query=(B, TQ, DQ), value=(B, TV, DV))
    layer = ka.MultiHeadCrossAttention(HEADS, KEY_DIM)
    layer(**inputs)
    layer.output_dense.bias.assign(np.arange(1, DQ + 1))
    mask = np.array([[True, False, True], [True, True, False]])
    assert_equal((as_float64(layer(**inputs, query_mask=mask)) != 0).all(-1), mask)


def test_weights_by_name():
    inputs = random_inputs(query=(B, TQ, DQ), value=(B, TV, DV), key=(B, TV, DK))
    layer = ka.MultiHeadCrossAttention(
        HEADS, KEY_DIM, value_dim=VALUE_DIM, output_dim=OUTPUT_DIM, name="attention"
    )
    layer(**inputs)
    assert {(w.path, tuple(w.shape)) for w in layer.weights} == {
        ("attention/query/kernel", (DQ, HEADS, KEY_DIM)),
        ("attention/query/bias", (HEADS, 1, KEY_DIM)),
        ("attention/key/kernel", (DK, HEADS, KEY_DIM)),
        ("attention/key/bias", (HEADS, 1, KEY_DIM)),
        ("attention/value/kernel", (DV, HEADS, VALUE_DIM)),
        ("attention/value/bias", (HEADS, 1, VALUE_DIM)),
        ("attention/output/kernel", (HEADS, VALUE_DIM, OUTPUT_DIM)),
        ("attention/output/bias", (OUTPUT_DIM,)),
    }


def test_projections_start_different():
    x = random_inputs(x=(B, TQ, DQ))["x"]
    layer = ka.MultiHeadSelfAttention(HEADS, KEY_DIM)
    layer(x)
    kernels = [
        as_float64(p.kernel) for p in (layer.query_dense, layer.key_dense, layer.value_dense)
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(kernels[one] - kernels[other]).max() > 0.1


@pytest.mark.parametrize("name", ["num_heads", "key_dim", "value_dim", "output_dim"])
@pytest.mark.parametrize("layer_class", [ka.MultiHeadSelfAttention, ka.MultiHeadCrossAttention])
def test_sizes(layer_class, name):
    with pytest.raises(ValueError, match=f"Received: {name}=0"):
        layer_class(**{"num_heads": 2, "key_dim": 3, name: 0})
