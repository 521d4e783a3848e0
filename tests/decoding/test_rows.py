"""Rows: the highest of each, in every way that a backend has."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.decoding import gather as rows
from tests.arrays import as_float64, assert_equal
from tests.compiled import compiled

NEVER = -np.inf
ROWS = {
    "distinct": [[3.0, -1.0, 7.0, 0.5], [0.0, 9.0, -2.0, 4.0]],
    "equals": [[1.0, 2.0, 2.0, 1.0], [5.0, 5.0, 5.0, 5.0]],
    "nothing left": [[NEVER, 1.0, NEVER, NEVER], [NEVER, NEVER, NEVER, NEVER]],
    "infinite": [[np.inf, 1.0, np.inf, NEVER], [0.0, NEVER, -0.0, np.inf]],
}


@pytest.fixture(params=[0, 8])
def times(request, monkeypatch):
    """With 0, few of few are taken one by one as well."""
    monkeypatch.setattr(rows, "TIMES", request.param)


@pytest.mark.usefixtures("times")
@pytest.mark.parametrize("compile_it", [False, True])
@pytest.mark.parametrize("count", [1, 3, 4])
@pytest.mark.parametrize("name", ROWS)
def test_highest(name, count, compile_it):
    x = np.array(ROWS[name], "float32")
    function = compiled if compile_it else lambda function: function
    found = function(lambda x: rows.highest(x, count))(ops.convert_to_tensor(x))
    if name == "infinite":  # whether -0 is below 0 is the backend's own affair
        x = x + 0.0
    places = np.argsort(-x, axis=-1, kind="stable")[:, :count]
    assert_equal(found[0], np.take_along_axis(x, places, axis=-1))
    if name != "infinite":
        assert_equal(found[1], places)
    assert keras.backend.standardize_dtype(found[1].dtype) == "int32"
    distinct = [len(set(row)) for row in as_float64(found[1]).tolist()]
    assert distinct == [count] * len(x)


@pytest.mark.parametrize("width", [17, 300])
def test_more_than_are_taken_one_by_one(width):
    x = np.random.default_rng(0).standard_normal((2, 3, width)).astype("float32")
    values, places = compiled(lambda x: rows.highest(x, 17))(ops.convert_to_tensor(x))
    wanted = np.argsort(-x, axis=-1, kind="stable")[..., :17]
    assert_equal(places, wanted)
    assert_equal(values, np.take_along_axis(x, wanted, axis=-1))


@pytest.mark.usefixtures("times")
def test_a_nan_gives_no_place_outside():
    x = np.array([[1.0, np.nan, 3.0]], "float32")
    _, places = compiled(lambda x: rows.highest(x, 3))(ops.convert_to_tensor(x))
    assert set(as_float64(places).ravel()) <= {0, 1, 2}
