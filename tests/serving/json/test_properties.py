"""JSON requests and answers: written ones are read back; any bytes are a document or an error."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_attention_serving import errors
from keras_attention_serving.protocol import tensors
from keras_attention_serving.rest import json_decode, json_encode
from tests.serving.json.messages import DTYPES, read, written


@given(st.floats(width=32) | st.integers(-(2**24), 2**24).map(float))
def test_any_float_is_the_same_number_again(value):
    (text,) = json_encode.decimals(np.array([value], np.float32))
    again = np.float32(json.loads(text))
    assert again.tobytes() == np.float32(value).tobytes() or math.isnan(value)
    assert "." in text or "e" in text or not math.isfinite(value)


@given(st.floats())
def test_any_double_is_the_same_number_again(value):
    (text,) = json_encode.decimals(np.array([value]))
    assert np.float64(json.loads(text)).tobytes() == np.float64(value).tobytes() or (
        math.isnan(value)
    )


LARGEST = np.finfo(np.float32).max
# Nine digits of the largest float32 are above it: see test_largest_float_is_not_read_back.
ARRAYS = (
    st.sampled_from(DTYPES)
    .flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)))
    .filter(lambda array: array.dtype != np.float32 or not np.any(np.abs(array) == LARGEST))
)
STRINGS = hnp.arrays(
    object,
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0),
    elements=st.binary(),
    fill=st.nothing(),
)


@given(ARRAYS)
@settings(max_examples=200, deadline=None)
def test_any_array_there_and_back(array):
    text = json.loads(written(rows=False, x=array))["outputs"]
    body = json.dumps({"inputs": text})
    inputs, _ = read(body, x=array.dtype)
    expected = tf.make_ndarray(tf.make_tensor_proto(array))
    if 0 in array.shape:  # nothing tells the sizes behind a zero
        assert inputs["x"].size == 0
    else:
        np.testing.assert_array_equal(inputs["x"], expected, strict=True)


@pytest.mark.parametrize("value", [LARGEST, -LARGEST])
def test_largest_float_is_not_read_back(value):
    """As in TensorFlow Serving, which writes nine digits and takes nothing beyond the range."""
    body = written(rows=False, x=np.array([value])).replace('"outputs":', '"inputs":')
    with pytest.raises(errors.InvalidArgument, match="without loss of precision"):
        read(body, x="float32")
    inputs, _ = read(body.replace("47e+38", "46e+38"), x="float32")
    assert inputs["x"] == [value]


@given(STRINGS, st.booleans())
@settings(max_examples=100, deadline=None)
def test_any_strings_there_and_back(array, as_bytes):
    name = "x_bytes" if as_bytes else "x"
    proto = tensors.to_proto(array)
    answer = json_encode.predictions({name: proto}, False)
    inputs, _ = read(answer.replace(b'"outputs":', b'"inputs":', 1), x="string")
    if array.size:
        assert inputs["x"].tolist() == tf.make_ndarray(tf.make_tensor_proto(array)).tolist()
        assert inputs["x"].shape == array.shape


@given(ARRAYS.filter(lambda array: array.ndim and array.size))
@settings(max_examples=100, deadline=None)
def test_rows_and_columns_say_the_same(array):
    rows = json.loads(written(x=array, y=array[:, None]))["predictions"]
    columns = json.loads(written(rows=False, x=array, y=array[:, None]))["outputs"]
    assert repr([row["x"] for row in rows]) == repr(columns["x"])
    assert repr([row["y"] for row in rows]) == repr(columns["y"])
    inputs, _ = read(json.dumps({"instances": rows}), x=array.dtype, y=array.dtype)
    np.testing.assert_array_equal(inputs["x"], array, strict=True)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["x", "b64", "y"]), inner, max_size=2)
    ),
    max_leaves=11,
)


@given(VALUES, st.sampled_from([*DTYPES, np.dtype("O")]), st.sampled_from(["inputs", "instances"]))
@settings(max_examples=500, deadline=None)
def test_both_ways_of_reading_agree(value, dtype, key):
    """Whatever is read at once would be read the same value by value."""
    dtype = tf.string if dtype.kind == "O" else dtype
    body = json.dumps({key: value}).encode()

    def attempt():
        try:
            array = read(body, x=dtype)[0]["x"]
            return array.dtype, array.shape, repr(array.tolist())
        except errors.ServingError as error:
            return error.message

    first = attempt()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_decode.json_values, "all_at_once", lambda value, dtype: None)
        second = attempt()
    assert first == second


@given(st.binary(max_size=64))
@example(b"0\x00\x80")
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_document_or_an_error(data):
    for body in (data, b'{"inputs": ' + data, b'{"inputs": ["' + data + b'"]}'):
        try:
            read(body, x="string")
        except errors.ServingError as error:
            error.message.encode()
