"""Tensors on the wire, against NumPy and TensorFlow's own conversions."""

import collections
import math
import subprocess
import sys
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework import tensor_pb2

from keras_attention_serving.protocol import tensors, wire

NUMBERS = {number: dtype for number, dtype in tensors._NUMPY.items() if dtype.kind != "O"}
NATIVE = [dtype for dtype in NUMBERS.values() if dtype.isbuiltin == 1]
SHAPES = [(), (1,), (0,), (3, 0, 2), (2, 3), (5, 1, 2)]
CASES = [(dtype, shape) for dtype in NUMBERS.values() for shape in SHAPES]


def sample(shape, dtype):
    values = np.random.default_rng(7).integers(0, 2, size=shape)
    return np.asarray(values).astype(dtype)


def official(array):
    return tf.make_tensor_proto(array).SerializeToString()


def from_official(data):
    return tf.make_ndarray(tensor_pb2.TensorProto.FromString(data))


def knows(dtype, shape, typed):
    """True if TensorFlow's Python can write this: some dtypes only as raw bytes."""
    content_only = {"float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz"}
    return dtype.name not in content_only or not (typed or math.prod(shape) < 2)


def assert_same(actual, expected):
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()


@pytest.mark.parametrize(("dtype", "shape"), [c for c in CASES if knows(*c, False)], ids=str)
def test_reads_what_tensorflow_writes(dtype, shape):
    array = sample(shape, dtype)
    assert_same(tensors.to_array(wire.TensorProto.FromString(official(array))), array)


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize(("dtype", "shape"), CASES, ids=str)
def test_tensorflow_reads_what_we_write(dtype, shape, typed):
    array = sample(shape, dtype)
    proto = tensors.to_proto(array, typed)
    assert proto.dtype == tf.as_dtype(dtype.type).as_datatype_enum
    assert_same(tensors.to_array(proto), array)
    if knows(dtype, shape, typed):
        assert_same(from_official(proto.SerializeToString()), array)


@pytest.mark.parametrize(("dtype", "shape"), [c for c in CASES if knows(*c, False)], ids=str)
def test_bytes_equal_tensorflows(dtype, shape):
    """TensorFlow writes one of our two forms, depending on dtype and size."""
    array = sample(shape, dtype)
    ours = [tensors.to_proto(array, typed).SerializeToString() for typed in (False, True)]
    assert official(array) in ours


@given(
    hnp.arrays(
        dtype=st.sampled_from(NATIVE), shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)
    ),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_any_array_survives_the_wire(array, typed):
    data = tensors.to_proto(array, typed).SerializeToString()
    result = tensors.to_array(wire.TensorProto.FromString(data))
    np.testing.assert_array_equal(result, array, strict=True)
    np.testing.assert_array_equal(from_official(data), array, strict=True)


@given(
    hnp.arrays(
        dtype=object,
        shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0),
        elements=st.binary(),
        fill=st.nothing(),
    )
)
@settings(max_examples=50, deadline=None)
def test_any_strings_survive_the_wire(array):
    data = tensors.to_proto(array).SerializeToString()
    assert data == official(array)
    result = tensors.to_array(wire.TensorProto.FromString(data))
    assert result.dtype == object
    assert result.shape == array.shape
    assert result.tolist() == array.tolist()


@pytest.mark.parametrize(
    "value",
    [
        ["a\u00fc", "b"],
        [b"a\xc3\xbc", b"b"],
        np.array(["a\u00fc", "b"]),
        np.array(["a\u00fc", b"b"], object),
    ],
    ids=["str", "bytes", "unicode array", "mixed objects"],
)
def test_strings_are_utf8(value):
    proto = tensors.to_proto(value)
    assert list(proto.string_val) == [b"a\xc3\xbc", b"b"]
    assert proto.dtype == 7


def test_fixed_width_bytes_are_strings():
    assert list(tensors.to_proto(np.array([b"ab", b"c"])).string_val) == [b"ab", b"c"]


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (2.5, "float32"),
        ([1, 2, 3], "int32"),
        ([1, 2**40], "int64"),
        (True, "bool"),
        (1j, "complex128"),
        (np.float64(2.5), "float64"),
        (np.array([1, 2]), "int64"),
        (np.array([1.5, 2.5], ">f4"), ">f4"),
    ],
)
def test_python_numbers_are_32_bit_and_arrays_keep_their_dtype(value, dtype):
    assert tensors.as_array(value).dtype == np.dtype(dtype)


def test_big_endian_and_strided_arrays_are_written_in_order():
    array = np.arange(30, dtype=">i4").reshape(5, 6)[::2, ::-3]
    for typed in (False, True):
        result = tensors.to_array(tensors.to_proto(array, typed))
        assert result.tolist() == [[5, 2], [17, 14], [29, 26]]
        assert result.dtype == np.int32


@pytest.mark.parametrize(
    ("dtype", "field", "values", "expected"),
    [
        ("DT_FLOAT", "float_val", [1.5], [1.5, 1.5, 1.5]),
        ("DT_FLOAT", "float_val", [1.5, 2.5], [1.5, 2.5, 2.5]),
        ("DT_FLOAT", "float_val", [], [0, 0, 0]),
        ("DT_INT64", "int64_val", [2**40, -3], [2**40, -3, -3]),
        ("DT_UINT8", "int_val", [255], [255, 255, 255]),
        ("DT_BOOL", "bool_val", [True], [True, True, True]),
        ("DT_HALF", "half_val", [15360], [1, 1, 1]),
        ("DT_BFLOAT16", "half_val", [16256, 16384], [1, 2, 2]),
        ("DT_COMPLEX64", "scomplex_val", [1, 2], [1 + 2j] * 3),
        ("DT_STRING", "string_val", [b"ab"], [b"ab"] * 3),
        ("DT_STRING", "string_val", [], [b""] * 3),
    ],
)
def test_the_last_value_stands_for_the_rest(dtype, field, values, expected):
    proto = wire.TensorProto(dtype=dtype)
    proto.tensor_shape.dim.add(size=3)
    getattr(proto, field).extend(values)
    result = tensors.to_array(proto)
    assert result.tolist() == expected
    if values:  # TensorFlow's Python refuses strings without a value
        assert from_official(proto.SerializeToString()).tolist() == expected


def test_surplus_values_are_dropped():
    proto = wire.TensorProto(dtype="DT_INT32", int_val=[2, 3, 5])
    proto.tensor_shape.dim.add(size=2)
    assert tensors.to_array(proto).tolist() == [2, 3]


def test_strings_as_raw_bytes():
    """The form that TensorFlow Serving answers in if told to send tensor_content."""
    strings = [b"ab", b"", b"x" * 200]
    proto = wire.TensorProto(dtype="DT_STRING")
    proto.tensor_shape.dim.add(size=3)
    proto.tensor_content = b"\x02\x00\xc8\x01" + b"".join(strings)
    assert tensors.to_array(proto).tolist() == strings
    for content in (b"\x02\x00\xc8\x01ab", b"\x02", b"\x80"):
        proto.tensor_content = content
        with pytest.raises(ValueError, match="Expected 3|Expected 20"):
            tensors.to_array(proto)


@pytest.mark.parametrize("typed", [False, True])
def test_arrays_are_writable(typed):
    for array in (np.zeros(3, np.float32), np.zeros(3, ml_dtypes.float8_e5m2)):
        result = tensors.to_array(tensors.to_proto(array, typed))
        result[1] = 1
        assert result.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (
            wire.TensorProto(dtype="DT_FLOAT", tensor_content=b"12345"),
            r"Expected 4 bytes for float32\[\]\. Received: tensor_content=5 bytes",
        ),
        (
            wire.TensorProto(dtype="DT_VARIANT"),
            "Expected a dtype that NumPy can hold. Received: dtype=DT_VARIANT",
        ),
        (wire.TensorProto(dtype=99), "Received: dtype=99"),
        (
            wire.TensorProto(dtype="DT_INT32", tensor_shape={"dim": [{"size": -1}]}),
            r"Expected a fully known shape. Received: shape=\(-1,\)",
        ),
        (
            wire.TensorProto(dtype="DT_INT32", tensor_shape={"unknown_rank": True}),
            "Expected a fully known shape",
        ),
        (
            wire.TensorProto(dtype="DT_FLOAT", tensor_shape={"dim": [{"size": 2**30}]}),
            r"Expected at most 2 GiB. Received: float32\[1073741824\]",
        ),
        (
            wire.TensorProto(dtype="DT_FLOAT", tensor_shape={"dim": [{"size": 2**62}] * 3}),
            "Expected at most 2 GiB",
        ),
        (
            wire.TensorProto(dtype="DT_FLOAT", tensor_shape={"dim": [{"size": 1}] * 300}),
            "maximum supported dimension",
        ),
        (
            wire.TensorProto(dtype="DT_COMPLEX64", scomplex_val=[1.0]),
            "Expected pairs of numbers in scomplex_val. Received: 1 values",
        ),
    ],
)
def test_what_is_no_tensor_is_refused(proto, message):
    with pytest.raises(ValueError, match=message):
        tensors.to_array(proto)


def test_dtypes_that_tensorflow_lacks_are_refused():
    with pytest.raises(ValueError, match="Received: dtype=datetime64"):
        tensors.to_proto(np.array(["2021-05-03"], "datetime64[D]"))
    with pytest.raises(ValueError, match="Received: item=3"):
        tensors.to_proto(np.array(["a", 3], object))


def test_works_without_ml_dtypes():
    program = """
import sys
import tracemalloc
sys.modules["ml_dtypes"] = None
from keras_attention_serving.protocol import tensors, wire
print(tensors.to_array(tensors.to_proto([1.5, 2.5])).tolist())
try:
    tensors.to_array(wire.TensorProto(dtype="DT_BFLOAT16"))
except ValueError as error:
    print(error)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == (
        "[1.5, 2.5]\nExpected a dtype that NumPy can hold. Received: dtype=DT_BFLOAT16\n"
    )


STRINGS = [b"ab\x00", b"\x00\x00", b"", "\u00fc\x00", "\x00"]
SENT = [b"ab\x00", b"\x00\x00", b"", b"\xc3\xbc\x00", b"\x00"]


@pytest.mark.parametrize(
    ("value", "sent", "shape"),
    [
        (STRINGS, SENT, [5]),
        (tuple(STRINGS), SENT, [5]),
        (collections.deque(STRINGS), SENT, [5]),
        ([STRINGS, STRINGS[::-1]], SENT + SENT[::-1], [2, 5]),
        ([[[text]] for text in STRINGS], SENT, [5, 1, 1]),
        (np.array(STRINGS, object), SENT, [5]),
        ([np.array(STRINGS, object), STRINGS], SENT + SENT, [2, 5]),
        ([np.array(text, object) for text in STRINGS], SENT, [5]),
        (np.array(STRINGS, object).reshape(5, 1)[::-2], SENT[::-2], [3, 1]),
        (b"ab\x00", [b"ab\x00"], []),
        ("ab\x00", [b"ab\x00"], []),
        (np.bytes_(b"ab\x00"), [b"ab\x00"], []),
        ([np.bytes_(b"ab\x00"), np.str_("c\x00")], [b"ab\x00", b"c\x00"], [2]),
        (tf.constant([b"ab\x00"]), [b"ab\x00"], [1]),
        ([tf.constant(b"ab\x00")], [b"ab\x00"], [1]),
    ],
)
def test_strings_arrive_as_they_are(value, sent, shape):
    proto = tensors.to_proto(value)
    assert list(proto.string_val) == sent
    assert [dim.size for dim in proto.tensor_shape.dim] == shape
    assert tensors.to_array(proto).ravel().tolist() == sent


def test_one_long_string_costs_no_more_than_itself():
    tracemalloc.start()
    tensors.to_proto([b"a" * 1_000_003] + [b"b"] * 1009)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10_000_000


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["a", 1], "strings alone, .* Received: int, str$"),
        ([b"a", None], "Received: NoneType, bytes$"),
        ([2.5, b"a", "b"], "Received: bytes, float, str$"),
        ([["a"], [1]], "Received: int, str$"),
        (["a", ["b"]], r"lists of equal lengths. Received: \['a', \['b'\]\]$"),
        ([["a"], ["b", "c"]], "lists of equal lengths"),
        ([["a"], []], "lists of equal lengths"),
        ([["a"], np.array([1])], "Received: ndarray, str$"),
        (["a", bytearray(b"b")], "Received: bytearray, str$"),
        ([np.array(["a", 3], object)], "Received: int, str$"),
        ([True, 2], "booleans alone, .* Received: bool, int$"),
        ([[1.5, 2], [3]], "lists of equal lengths"),
        ([1, None], "Received: NoneType, int$"),
        (None, "Received: NoneType$"),
        ({"a"}, "Received: set$"),
        ([2**70], "at most 64 bits alone. Received: int$"),
        (["\ud800"], "UTF-8 can express. Received: item='.ud800'$"),
    ],
)
def test_mixtures_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        tensors.to_proto(value)


def test_a_list_that_holds_itself_is_refused():
    value = []
    value.append(value)
    with pytest.raises(ValueError, match="Expected"):
        tensors.to_proto(value)
