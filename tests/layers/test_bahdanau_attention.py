import keras
import numpy as np
import pytest

from keras_attention import BahdanauAttention
from tests import oracles
from tests.arrays import as_float64, assert_close

B, TQ, TV, DQ, DK, DV, UNITS = 2, 3, 5, 7, 11, 13, 17
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
MASKS = {
    "none": None,
    "some": np.array([[True, False, True, True, False], [False, True, True, True, True]]),
    "all of one sequence": np.array([[False] * TV, [True] * TV]),
}


@pytest.fixture
def arrays():
    generator = np.random.default_rng(0)
    shapes = [(B, TQ, DQ), (B, TV, DV), (B, TV, DK)]
    return [generator.standard_normal(shape).astype("float32") for shape in shapes]


def over_queries(mask, query_length=TQ):
    return None if mask is None else np.repeat(mask[:, None], query_length, axis=1)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_formula(arrays, mask):
    query, value, key = arrays
    layer = BahdanauAttention(UNITS)
    found = layer(query, value, key, value_mask=mask, return_attention_scores=True)
    weights = layer.query_dense.kernel, layer.key_dense.kernel, layer.attention_v
    score = oracles.bahdanau(*map(as_float64, weights))
    expected = oracles.attend(score, query, key, value, over_queries(mask))
    assert_close(found[0], expected[0], **CLOSE)
    assert_close(found[1], expected[1], **CLOSE)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_normalized_formula(arrays, mask):
    query, value, key = arrays
    layer = BahdanauAttention(UNITS, normalize=True)
    layer(query, value, key)
    layer.attention_g.assign(3.0)
    layer.attention_b.assign(np.random.default_rng(1).standard_normal(UNITS))
    found = layer(query, value, key, value_mask=mask, return_attention_scores=True)
    weights = [layer.query_dense.kernel, layer.key_dense.kernel, layer.attention_v]
    weights += [layer.attention_g, layer.attention_b]
    score = oracles.bahdanau_normalized(*map(as_float64, weights))
    expected = oracles.attend(score, query, key, value, over_queries(mask))
    assert_close(found[0], expected[0], **CLOSE)
    assert_close(found[1], expected[1], **CLOSE)


def test_literal_numbers():
    """W = U = 1, v = 1, q = 1, keys 0 and 1: scores tanh(1) and tanh(2)."""
    layer = BahdanauAttention(1, kernel_initializer="ones")
    keys = np.array([[[0.0], [1.0]]])
    context, weights = layer(np.array([[[1.0]]]), keys, return_attention_scores=True)
    # tanh(1) = 0.761594, tanh(2) = 0.964028; 1 / (1 + exp(0.964028 - 0.761594)) = 0.449564
    assert_close(weights, [[[0.449564, 0.550436]]], rtol=1e-5)
    assert_close(context, [[[0.550436]]], rtol=1e-5)


def test_normalization_starts_from_addons_numbers(arrays):
    layer = BahdanauAttention(UNITS, normalize=True)
    layer(*arrays)
    assert_close(layer.attention_g, np.sqrt(1 / UNITS), rtol=1e-6)
    assert_close(layer.attention_b, np.zeros(UNITS))


def test_normalization_does_not_see_the_length_of_v(arrays):
    layer = BahdanauAttention(UNITS, normalize=True)
    expected = as_float64(layer(*arrays))
    layer.attention_v.assign(layer.attention_v * 1000)
    assert_close(layer(*arrays), expected, **CLOSE)


def test_normalization_of_a_short_v_in_float16(arrays):
    """The square of 1e-4 is 0 in float16."""
    layer = BahdanauAttention(UNITS, normalize=True, dtype="mixed_float16")
    expected = as_float64(layer(*arrays))
    layer.attention_v.assign(layer.attention_v * 1e-4)
    assert_close(layer(*arrays), expected, rtol=0.02, atol=0.02)


def test_equals_additive_attention_of_keras_with_identity_projections():
    generator = np.random.default_rng(0)
    query, value = (generator.standard_normal((B, t, DQ)).astype("float32") for t in (TQ, TV))
    mask = MASKS["some"]
    ours, theirs = BahdanauAttention(DQ), keras.layers.AdditiveAttention()
    ours(query, value), theirs([query, value])
    theirs.set_weights([generator.standard_normal(DQ)])
    ours.query_dense.kernel.assign(np.eye(DQ))
    ours.key_dense.kernel.assign(np.eye(DQ))
    ours.attention_v.assign(theirs.get_weights()[0])
    found = ours(query, value, value_mask=mask, return_attention_scores=True)
    expected = theirs([query, value], mask=[None, mask], return_attention_scores=True)
    assert_close(found[0], expected[0], **CLOSE)
    assert_close(found[1], expected[1], **CLOSE)


def test_weights_by_name(arrays):
    """Part of the file format, and what a converter of old checkpoints looks for."""
    layer = BahdanauAttention(UNITS, normalize=True, name="attention")
    layer(*arrays)
    assert {(w.path, tuple(w.shape)) for w in layer.weights} == {
        ("attention/query/kernel", (DQ, UNITS)),
        ("attention/key/kernel", (DK, UNITS)),
        ("attention/attention_v", (UNITS,)),
        ("attention/attention_g", ()),
        ("attention/attention_b", (UNITS,)),
    }


def test_projections_start_different():
    layer = BahdanauAttention(UNITS)
    layer(np.ones((B, TQ, DQ)), np.ones((B, TV, DQ)))
    kernels = as_float64(layer.query_dense.kernel), as_float64(layer.key_dense.kernel)
    assert np.abs(kernels[0] - kernels[1]).max() > 0.1


@pytest.mark.parametrize("units", [0, -3, 2.5, None, True, "7"])
def test_units(units):
    with pytest.raises(ValueError, match=f"Received: units={units!r}"):
        BahdanauAttention(units)
