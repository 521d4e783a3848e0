"""Values of a memory that are not finite: taken out, and back for queries that may see them."""

import numpy as np
import pytest

from keras_attention.ops.nonfinite import nan_where, nan_where_seen, take_out_nonfinite
from tests.arrays import as_float64, assert_equal

NAN, INF = float("nan"), float("inf")
KEY = np.array([[[1.0, NAN], [2.0, 3.0], [5.0, 7.0]]], "float32")
VALUE = np.array([[[1.0], [INF], [11.0]]], "float32")
MASK = np.array([[[True, False, True], [False, True, True]]])


def test_each_query_gets_nan_for_what_it_may_attend_to():
    key, value, nonfinite = take_out_nonfinite(KEY, VALUE, MASK)
    assert_equal(key, [[[1, 0], [2, 3], [5, 7]]])
    assert_equal(value, [[[1], [0], [11]]])
    assert_equal(nonfinite.key, [[True, False, False]])
    assert_equal(nonfinite.value, [[False, True, False]])
    assert_equal(nonfinite.either(), [[True, True, False]])
    context = np.ones((1, 2, 3), "float32")
    found = as_float64(nan_where_seen(context, nonfinite.value, MASK))
    assert_equal(np.isnan(found).all(-1), [[False, True]])
    assert_equal(np.isnan(found).any(-1), [[False, True]])
    scores = np.ones((1, 2, 3), "float32")
    assert_equal(np.isnan(as_float64(nan_where(scores, nonfinite.key)))[0, 0], [True, False, False])


@pytest.mark.parametrize("mask", [None, MASK[:, :1]])
def test_nothing_is_taken_out_where_all_queries_see_the_same(mask):
    key, value, nonfinite = take_out_nonfinite(KEY, VALUE, mask)
    assert key is KEY and value is VALUE and nonfinite.either() is None
    assert (
        nan_where(KEY, nonfinite.key) is KEY and nan_where_seen(KEY, nonfinite.value, mask) is KEY
    )
    _, _, nonfinite = take_out_nonfinite(KEY, VALUE, mask, by_position=True)
    assert_equal(nonfinite.key, [[True, False, False]])
