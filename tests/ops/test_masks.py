import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_attention.ops import attended, causal_mask, combine_masks, zero_masked
from keras_attention.ops.masks import split_nonfinite
from tests.arrays import as_float64, assert_equal

NAN, INF = float("nan"), float("inf")


def test_causal_mask_of_one_length():
    assert_equal(causal_mask(3, 3), [[1, 0, 0], [1, 1, 0], [1, 1, 1]])


def test_causal_mask_is_aligned_to_the_end():
    assert_equal(causal_mask(2, 5), [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])
    assert_equal(causal_mask(3, 2), [[0, 0], [1, 0], [1, 1]])
    assert_equal(causal_mask(1, 5), [[1, 1, 1, 1, 1]])


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 13), st.integers(1, 13))
def test_the_last_query_sees_all_and_each_one_more_than_the_one_before(query_length, value_length):
    counts = as_float64(causal_mask(query_length, value_length)).sum(1)
    expected = value_length - np.arange(query_length)[::-1]
    assert_equal(counts, np.maximum(expected, 0))


def test_causal_mask_of_lengths_that_are_tensors():
    lengths = ops.convert_to_tensor([2, 5])
    assert_equal(causal_mask(lengths[0], lengths[1]), causal_mask(2, 5))


B, H, TQ, TV = 2, 3, 5, 7
PADDING = np.random.default_rng(0).random((B, TV)) < 0.6
SHAPES = {"pairs of all": (TQ, TV), "pairs": (B, TQ, TV), "heads": (B, H, TQ, TV)}


def test_no_mask_is_no_mask():
    assert combine_masks() is None


def test_a_padding_mask_is_the_same_for_every_query():
    assert_equal(combine_masks(PADDING), PADDING[:, None])


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("kind", SHAPES)
def test_masks_are_combined(kind, padding, causal):
    pairs = np.random.default_rng(1).random(SHAPES[kind]) < 0.6
    found = combine_masks(
        PADDING if padding else None, pairs, causal_mask(TQ, TV) if causal else None
    )
    expected = np.broadcast_to(pairs, (B, H, TQ, TV) if kind == "heads" else (B, TQ, TV))
    heads = (slice(None), None) if kind == "heads" else (slice(None),)
    if padding:
        expected = expected & PADDING[heads][..., None, :]
    if causal:
        expected = expected & np.tri(TQ, TV, TV - TQ, dtype=bool)
    assert len(found.shape) == expected.ndim
    assert_equal(np.broadcast_to(as_float64(found), expected.shape), expected)


def test_numbers_are_taken_for_masks():
    mask = combine_masks(np.array([[1, 0, 2]]), np.array([[0.0, 1.0, 0.5]]))
    assert_equal(mask, [[[False, False, True]]])


def test_visible_to_any_query_in_any_head():
    mask = np.zeros((B, H, TQ, TV), bool)
    mask[0, 1, 3, 5] = mask[1, 2, 0, 0] = True
    expected = np.zeros((B, TV), bool)
    expected[0, 5] = expected[1, 0] = True
    assert_equal(attended(mask), expected)
    assert_equal(attended(mask.any(1)), expected)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_blank(dtype):
    x = ops.convert_to_tensor([[[1.0, NAN], [2.0, 3.0], [INF, 5.0]]], dtype=dtype)
    blanked = zero_masked(x, np.array([[False, True, False]]))
    assert_equal(blanked, [[[0, 0], [2, 3], [0, 0]]])
    assert blanked.dtype == x.dtype


def test_split_nonfinite():
    x = ops.convert_to_tensor([[[1.0, NAN], [2.0, 3.0], [INF, -INF]]])
    clean, bad = split_nonfinite(x)
    assert_equal(clean, [[[1, 0], [2, 3], [0, 0]]])
    assert_equal(bad, [[True, False, True]])
