"""NumPy arrays to and from `TensorProto`, without TensorFlow.

A tensor is sent either as raw bytes (`tensor_content`) or in a typed field (`float_val`, `int_val`,
...). Both are read; strings are always sent in `string_val`. A typed field may be shorter than the
tensor; its last value then stands for the rest. Bytes on the wire are little-endian.

bfloat16, float8 and the 4-bit integers come from the package `ml_dtypes`; without it they are
unknown, and everything else works.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_attention_serving.protocol import python_values, wire

try:
    import ml_dtypes
except ImportError:  # only the dtypes that NumPy lacks
    ml_dtypes = None  # type: ignore[assignment]

Array = np.ndarray[Any, np.dtype[Any]]

# Name of the DataType, NumPy's name, typed field.
_TABLE = (
    ("FLOAT", "float32", "float_val"),
    ("DOUBLE", "float64", "double_val"),
    ("INT32", "int32", "int_val"),
    ("UINT8", "uint8", "int_val"),
    ("INT16", "int16", "int_val"),
    ("INT8", "int8", "int_val"),
    ("STRING", "object", "string_val"),
    ("COMPLEX64", "complex64", "scomplex_val"),
    ("INT64", "int64", "int64_val"),
    ("BOOL", "bool", "bool_val"),
    ("BFLOAT16", "bfloat16", "half_val"),
    ("UINT16", "uint16", "int_val"),
    ("COMPLEX128", "complex128", "dcomplex_val"),
    ("HALF", "float16", "half_val"),
    ("UINT32", "uint32", "uint32_val"),
    ("UINT64", "uint64", "uint64_val"),
    ("FLOAT8_E5M2", "float8_e5m2", "float8_val"),
    ("FLOAT8_E4M3FN", "float8_e4m3fn", "float8_val"),
    ("FLOAT8_E4M3FNUZ", "float8_e4m3fnuz", "float8_val"),
    ("FLOAT8_E4M3B11FNUZ", "float8_e4m3b11fnuz", "float8_val"),
    ("FLOAT8_E5M2FNUZ", "float8_e5m2fnuz", "float8_val"),
    ("INT4", "int4", "int_val"),
    ("UINT4", "uint4", "int_val"),
)
_MANY_AXES = 32
_STRING_BYTES = 24  # of an empty string in TensorFlow
_CHUNK = 1 << 14  # values that are written before other threads get a turn
DT_FLOAT: int = wire.DataType.values_by_name["DT_FLOAT"].number
DT_STRING: int = wire.DataType.values_by_name["DT_STRING"].number

_NUMPY: dict[int, np.dtype[Any]] = {}
_FIELD: dict[int, str] = {}
for _type, _name, _field in _TABLE:
    _number = wire.DataType.values_by_name[f"DT_{_type}"].number
    _FIELD[_number] = _field
    if hasattr(ml_dtypes, _name):
        _NUMPY[_number] = np.dtype(getattr(ml_dtypes, _name))
    elif not _name.startswith(("bfloat", "float8", "int4", "uint4")):
        _NUMPY[_number] = np.dtype(_name)
_NUMBER = {dtype: number for number, dtype in _NUMPY.items()}


def numpy_dtype(number: int) -> np.dtype[Any]:
    """The NumPy dtype for a `DataType`; strings are `object` (of bytes).

    Raises `ValueError` for a type that no array can hold (resource, variant, quantized).
    """
    if number not in _NUMPY:
        value = wire.DataType.values_by_number.get(number)
        name = value.name if value else number
        raise ValueError(f"Expected a dtype that NumPy can hold. Received: dtype={name}")
    return _NUMPY[number]


def data_type(dtype: np.dtype[Any]) -> int:
    """The `DataType` number for a NumPy dtype. Raises `ValueError` if there is none."""
    if dtype.kind in "SUT":
        return DT_STRING
    number = _NUMBER.get(dtype.newbyteorder("=") if dtype.kind in "iufc" else dtype)
    if number is None:
        raise ValueError(f"Expected a dtype of TensorFlow's. Received: dtype={dtype}")
    return number


def data_types(*names: str) -> tuple[int, ...]:
    """The numbers of `DataType`s by their names without `DT_`, e.g. `"FLOAT"`."""
    return tuple(wire.DataType.values_by_name[f"DT_{name}"].number for name in names)


def as_array(value: ArrayLike) -> Array:
    """Makes an array of any shape from the values that a caller may pass.

    Arrays and NumPy scalars keep their dtype. Python numbers and lists of them become float32 and
    int32 (int64 if they do not fit), as in TensorFlow. Strings and lists of them become `object`
    arrays.

    Raises `ValueError` for lists of unequal lengths, or of strings and numbers.
    """
    if hasattr(value, "__array__") and not isinstance(value, str | bytes):
        return np.asarray(value)
    array = python_values.from_python(value)
    if array.dtype == np.float64:
        return array.astype(np.float32)
    if array.dtype == np.int64:
        narrow = array.astype(np.int32)
        return narrow if np.array_equal(narrow, array) else array
    return array


def to_proto(value: ArrayLike, typed: bool = False) -> wire.TensorProto:
    """The `TensorProto` of an array.

    Args:
        value: array of any shape and dtype, or a value that `as_array` takes. Strings may be
            `bytes` or `str` (sent as UTF-8), and arrive unchanged. NumPy's strings of fixed width
            ("S" and "U") cannot hold NUL characters at their end; lists and `object` arrays can.
        typed: write numbers to the typed field, as TensorFlow Serving does in responses, instead of
            `tensor_content`, which is smaller and faster for most dtypes.

    Raises:
        ValueError: TensorFlow does not have the dtype, an object array holds something other than
            strings, or a list mixes strings and numbers.
    """
    array = as_array(value)
    number = data_type(array.dtype)
    proto = wire.TensorProto(dtype=number)
    proto.tensor_shape.SetInParent()  # present even for a scalar
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if number == DT_STRING:
        proto.string_val.extend(_bytes(item) for item in array.astype(object).ravel())
        return proto
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    if typed:
        _write_field(proto, number, array.reshape(-1))
    else:
        proto.tensor_content = array.tobytes()
    return proto


def to_pieces(array: Array, typed: bool = False) -> list[bytes]:
    """The serialized `TensorProto` of an array, in pieces; see `to_proto`."""
    number = data_type(array.dtype)
    head = wire.TensorProto(dtype=number)
    head.tensor_shape.SetInParent()
    for size in array.shape:
        head.tensor_shape.dim.add(size=size)
    pieces: list[bytes] = [head.SerializeToString()]
    strings = number == DT_STRING
    if not strings:
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    flat = array.reshape(-1)
    parts = (flat[start : start + _CHUNK] for start in range(0, flat.size, _CHUNK))
    if strings or (typed and _FIELD[number] != "float8_val"):
        for part in parts:
            proto = wire.TensorProto()
            if strings:
                proto.string_val.extend(_bytes(item) for item in part)
            else:
                _write_field(proto, number, part)
            pieces.append(proto.SerializeToString())
        return pieces
    name = "float8_val" if typed else "tensor_content"
    field = wire.TensorProto.DESCRIPTOR.fields_by_name[name].number
    return [*pieces, tag(field) + varint(flat.nbytes), *(part.tobytes() for part in parts)]


def to_array(proto: wire.TensorProto, strict: bool = False) -> Array:
    """The array of a `TensorProto`: writable, and `object` of `bytes` for strings.

    Args:
        proto: the message.
        strict: refuse values beyond the shape, or in the field of another dtype, which TensorFlow
            ignores.

    Raises `ValueError` if the message is not a complete tensor: its dtype is unknown, a size is
    negative or missing, or its contents do not fit the shape.
    """
    dtype = numpy_dtype(proto.dtype)
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise ValueError(f"Expected a fully known shape. Received: shape={shape}")
    if strict:
        _check_fields(proto)
    if len(shape) > _MANY_AXES:
        np.empty((0,) * len(shape))  # NumPy refuses more axes; checked before sizes are multiplied
    content = proto.tensor_content
    if content and proto.dtype == DT_STRING:
        return _split_strings(content, math.prod(shape)).reshape(shape)
    if content:
        if len(content) != math.prod(shape) * dtype.itemsize:
            raise ValueError(
                f"Expected {math.prod(shape) * dtype.itemsize} bytes for {dtype}{list(shape)}. "
                f"Received: tensor_content={len(content)} bytes"
            )
        return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype).reshape(shape)
    values = _read_field(proto, dtype)
    if strict and len(values) > math.prod(shape):
        raise ValueError(
            f"Expected at most {math.prod(shape)} values for {dtype}{list(shape)}. "
            f"Received: {len(values)} in {_FIELD[proto.dtype]}"
        )
    return _fill(values, shape, dtype)


def claimed_bytes(proto: wire.TensorProto) -> int:
    """The bytes that `to_array` adds to those of a message whose shape has more values than it.

    0 for a message that `to_array` refuses.
    """
    dtype = _NUMPY.get(proto.dtype)
    if dtype is None or proto.tensor_content:
        return 0
    size = 1
    for dim in proto.tensor_shape.dim:
        size = min(size * max(0, dim.size), 2 * wire.MAX_MESSAGE_BYTES)
    if size * dtype.itemsize > wire.MAX_MESSAGE_BYTES:
        return 0
    values = getattr(proto, _FIELD[proto.dtype])
    each = dtype.itemsize
    if dtype.kind == "O":
        each = _STRING_BYTES + (len(values[-1]) if values else 0)
    return max(0, size - len(values)) * each


def nbytes(array: Array) -> int:
    """The bytes of an array, including those of its strings."""
    if array.dtype.kind != "O":
        return array.nbytes
    return array.size * _STRING_BYTES + sum(map(len, array.flat))


def _check_fields(proto: wire.TensorProto) -> None:
    """Raises `ValueError` if a message has values in more than one field, or in a wrong one."""
    filled = [field.name for field, _ in proto.ListFields()]
    filled = [name for name in filled if name.endswith("_val") or name == "tensor_content"]
    if len(filled) > 1 or not {_FIELD[proto.dtype], "tensor_content"}.issuperset(filled):
        raise ValueError(
            f"Expected values in {_FIELD[proto.dtype]} or tensor_content. "
            f"Received: {', '.join(filled)}"
        )


def _bytes(item: object) -> bytes:
    if isinstance(item, bytes):
        return item
    if isinstance(item, str):
        try:
            return item.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"Expected text that UTF-8 can express. Received: item={item!r:.80}"
            ) from None
    raise ValueError(f"Expected bytes or str in an object array. Received: item={item!r:.80}")


def _write_field(proto: wire.TensorProto, number: int, flat: Array) -> None:
    name = _FIELD[number]
    if name == "half_val":
        flat = flat.view("<u2")  # the bits of the number
    elif name.endswith("complex_val"):
        flat = flat.view(f"<f{flat.itemsize // 2}")  # real and imaginary parts in turn
    elif name == "float8_val":
        proto.float8_val = flat.tobytes()
        return
    elif flat.dtype.itemsize == 1 and flat.dtype.kind not in "iub":
        flat = flat.astype(np.int8)  # the 4-bit integers
    if flat.dtype.kind == "f" and flat.size:
        # Numbers of fixed width are on the wire as they are in memory, behind a tag and their
        # length in bytes: 15 times as fast as one Python float after the other.
        number = wire.TensorProto.DESCRIPTOR.fields_by_name[name].number
        proto.MergeFromString(tag(number) + varint(flat.nbytes) + flat.tobytes())
        return
    field = getattr(proto, name)
    for start in range(0, flat.size, _CHUNK):
        field.extend(flat[start : start + _CHUNK].tolist())


def tag(field: int) -> bytes:
    """Tag of a field of bytes or of packed numbers, which is followed by its length."""
    return varint(field << 3 | 2)


def varint(value: int) -> bytes:
    """The serialized form of a length."""
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*result, value])


def _read_field(proto: wire.TensorProto, dtype: np.dtype[Any]) -> Array:
    """The values in the typed field of a proto: `(n,)`."""
    name = _FIELD[proto.dtype]
    values = getattr(proto, name)
    if name == "float8_val":
        return np.frombuffer(values, dtype)
    if name == "string_val":
        return np.fromiter(values, object, len(values))
    if name == "half_val":
        return np.asarray(values, np.int32).astype(np.uint16).view(dtype)
    if name.endswith("complex_val"):
        if len(values) % 2:
            raise ValueError(f"Expected pairs of numbers in {name}. Received: {len(values)} values")
        return np.asarray(values, f"f{dtype.itemsize // 2}").view(dtype)
    if name == "int_val":
        return np.asarray(values, np.int32).astype(dtype)  # overflows wrap around, as in C
    return np.asarray(values, dtype)


def _split_strings(content: bytes, count: int) -> Array:
    """Splits strings sent as raw bytes: first all lengths as varints, then all strings."""
    lengths, at = [], 0
    for _ in range(count):
        length = shift = 0
        while True:
            if at >= len(content) or shift > 28:
                raise ValueError(f"Expected {count} lengths of strings in tensor_content.")
            byte = content[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        lengths.append(length)
    if at + sum(lengths) != len(content):
        raise ValueError(
            f"Expected {at + sum(lengths)} bytes for {count} strings. "
            f"Received: tensor_content={len(content)} bytes"
        )
    result = np.empty(count, object)
    for i, length in enumerate(lengths):
        result[i] = content[at : at + length]
        at += length
    return result


def _fill(values: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Reshapes values; repeats the last one if there are too few, fills with zeros without any."""
    size = math.prod(shape)
    if size * dtype.itemsize > wire.MAX_MESSAGE_BYTES:
        # A few bytes may claim any size; no tensor is larger than a message can be.
        raise ValueError(f"Expected at most 2 GiB. Received: {dtype}{list(shape)}")
    if len(values) == size:
        return values.reshape(shape) if values.flags.writeable else values.reshape(shape).copy()
    zero = b"" if dtype.kind == "O" else dtype.type(0)
    last = values[-1] if len(values) else zero
    result = np.full(size, last, dtype)
    count = min(size, len(values))  # surplus values are dropped
    result[:count] = values[:count]
    return result.reshape(shape)
