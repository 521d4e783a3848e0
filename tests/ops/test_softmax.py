import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_attention.ops import masked_softmax
from tests import oracles
from tests.arrays import as_float64, assert_close, assert_equal


def tensor(x, dtype="float32"):
    return ops.convert_to_tensor(np.array(x), dtype=dtype)


def dtype_of(x):
    return keras.backend.standardize_dtype(x.dtype)


def test_literal_numbers():
    assert_close(masked_softmax(tensor([0.0, 1.0])), [0.268941, 0.731059], rtol=1e-5)
    mask = np.array([True, False, True])
    found = masked_softmax(tensor([0.0, 5.0, 1.0]), mask)
    assert_close(found, [0.268941, 0.0, 0.731059], rtol=1e-5)


@settings(max_examples=50, deadline=None)
@given(
    scores=st.lists(st.floats(-1e4, 1e4, width=32), min_size=7, max_size=7),
    mask=st.lists(st.booleans(), min_size=7, max_size=7),
)
def test_equals_the_oracle(scores, mask):
    found = as_float64(masked_softmax(tensor([scores]), np.array([mask])))[0]
    assert_close(found, oracles.softmax(scores, np.array(mask)), rtol=1e-4, atol=1e-6)
    assert (found[~np.array(mask)] == 0).all()
    assert abs(found.sum() - any(mask)) < 1e-5


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("hidden", [float("nan"), float("inf"), -float("inf"), 6e4])
def test_what_is_masked_is_gone(dtype, hidden):
    found = masked_softmax(tensor([1.0, hidden, 1.0], dtype), np.array([True, False, True]))
    assert_equal(found, [0.5, 0.0, 0.5])


@pytest.mark.parametrize("score", [0.0, -16.0, -6e4, float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_nothing_visible(dtype, score):
    found = masked_softmax(tensor([[score] * 3], dtype), np.zeros((1, 3), bool))
    assert_equal(found, [[0.0, 0.0, 0.0]])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("mask", [None, [True, True, False]])
def test_result_is_float32_at_least(dtype, mask):
    mask = None if mask is None else np.array(mask)
    found = masked_softmax(tensor([0.0, 1.0, 2.0], dtype), mask)
    assert dtype_of(found) == "float32"
    expected = oracles.softmax([0.0, 1.0, 2.0], mask)
    assert_close(found, expected, rtol=1e-5)  # bfloat16 has 2 digits, float16 3


def test_masks_broadcast():
    scores = tensor(np.zeros((2, 3, 5)))
    mask = np.zeros((2, 1, 5), bool)
    mask[0, 0, :2] = mask[1, 0, 4] = True
    found = as_float64(masked_softmax(scores, mask))
    assert_close(found[0], [[0.5, 0.5, 0, 0, 0]] * 3)
    assert_close(found[1], [[0, 0, 0, 0, 1]] * 3)


def test_one_position():
    """The weight of one step is 1, without the warning of `keras.ops.softmax`."""
    assert_equal(masked_softmax(tensor([[7.0], [-3.0]])), [[1.0], [1.0]])
    mask = np.array([[True], [False]])
    assert_equal(masked_softmax(tensor([[7.0], [-3.0]]), mask), [[1.0], [0.0]])
    assert np.isnan(as_float64(masked_softmax(tensor([[float("nan")]]))))
