import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.ops import additive_scores, dot_scores
from keras_attention.ops.precision import at_least_float32
from keras_attention.ops.weighted_sum import weighted_sum
from tests.arrays import as_float64, assert_close, assert_equal

B, H, TQ, TV, D, DV = 2, 3, 5, 7, 11, 13
HALVES = ["float16", "bfloat16"]


def random_tensor(*shape, dtype="float32", seed=0):
    x = np.random.default_rng(seed).standard_normal(shape)
    return ops.cast(ops.convert_to_tensor(x, dtype="float32"), dtype)


def dtype_of(x):
    return keras.backend.standardize_dtype(x.dtype)


@pytest.mark.parametrize("leading", [(B,), (B, H)])
def test_dot_scores(leading):
    query, key = random_tensor(*leading, TQ, D), random_tensor(*leading, TV, D, seed=1)
    expected = np.einsum("...td,...sd->...ts", as_float64(query), as_float64(key))
    assert_close(dot_scores(query, key), expected, rtol=1e-4, atol=1e-5)


def test_additive_scores():
    query, key = random_tensor(B, TQ, D), random_tensor(B, TV, D, seed=1)
    vector = random_tensor(D, seed=2)
    q, k, v = map(as_float64, (query, key, vector))
    expected = np.array(
        [[[v @ np.tanh(q[b, t] + k[b, s]) for s in range(TV)] for t in range(TQ)] for b in range(B)]
    )
    assert_close(additive_scores(query, key, vector), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", HALVES)
def test_scores_of_half_precision_are_summed_in_float32(dtype):
    """As exact as float32 is, for inputs that half precision can hold."""
    query, key = random_tensor(B, TQ, D, dtype=dtype), random_tensor(B, TV, D, dtype=dtype, seed=1)
    vector = random_tensor(D, dtype=dtype, seed=2)
    wide = [ops.cast(x, "float32") for x in (query, key, vector)]
    for found, expected in (
        (dot_scores(query, key), dot_scores(*wide[:2])),
        (additive_scores(query, key, vector), additive_scores(*wide)),
    ):
        assert dtype_of(found) == "float32"
        assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_products_that_float16_cannot_hold():
    x = ops.full((1, 1, 2), 300.0, dtype="float16")
    assert_equal(dot_scores(x, x), [[[180000.0]]])


@pytest.mark.parametrize("leading", [(B,), (B, H)])
def test_mix(leading):
    weights, value = random_tensor(*leading, TQ, TV), random_tensor(*leading, TV, DV, seed=1)
    expected = np.einsum("...ts,...sd->...td", as_float64(weights), as_float64(value))
    assert_close(weighted_sum(weights, value), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", HALVES)
def test_mix_is_in_the_dtype_of_the_value(dtype):
    value = random_tensor(B, TV, DV, dtype=dtype)
    assert dtype_of(weighted_sum(random_tensor(B, TQ, TV), value)) == dtype


def test_at_least_float32():
    wide = {d: at_least_float32(d) for d in ("float16", "bfloat16", "float32", "float64")}
    assert wide == {
        "float16": "float32",
        "bfloat16": "float32",
        "float32": "float32",
        "float64": "float64",
    }
