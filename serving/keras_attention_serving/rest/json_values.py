"""Tensors from JSON values, by dtype.

A value is read at most twice. `all_at_once` converts all values of a tensor together and gives up
on anything that it does not expect; `collect` then goes from value to value, in the order of
TensorFlow Serving and with its error texts.
"""

import base64
import binascii
import math
import re
from typing import Any

import numpy as np

from keras_attention_serving.errors import InvalidArgument, Unimplemented
from keras_attention_serving.protocol import tensors, wire
from keras_attention_serving.protocol.tensors import Array
from keras_attention_serving.rest import json_pieces
from keras_attention_serving.rest.json_text import debug, encode, type_name

Tensor = tuple[list[int], Array]  # sizes, and the values as a flat array

FLOAT, _DOUBLE, _STRING, _BOOL = tensors.data_types("FLOAT", "DOUBLE", "STRING", "BOOL")
_SMALL_INTEGERS = tensors.data_types("UINT8", "INT16", "INT8")
_INT32, _INT64, _UINT32, _UINT64 = tensors.data_types("INT32", "INT64", "UINT32", "UINT64")
# Name in error texts, bits of the mantissa, largest value.
_DECIMAL = {
    FLOAT: ("float", 24, float(np.finfo(np.float32).max)),
    _DOUBLE: ("double", 53, math.inf),
}
# Ranges of integers; the small ones are checked like int32 and then wrap around.
_INTEGER = dict.fromkeys((_INT32, *_SMALL_INTEGERS), (-(2**31), 2**31 - 1)) | {
    _INT64: (-(2**63), 2**63 - 1),
    _UINT32: (0, 2**32 - 1),
    _UINT64: (0, 2**64 - 1),
}


def fill(proto: wire.TensorProto, value: Any, dtype: int) -> None:
    """Fills `proto` with the tensor of a JSON value; raises `errors.ServingError`."""
    tensor = all_at_once(value, dtype)
    if tensor is None:
        shape: list[int] = shape_of(value)
        row: list[Any] = []
        collect(value, 0, shape, dtype, row)
        tensor = shape, to_array(row, dtype)
    write(proto, *tensor, dtype)


def write(proto: wire.TensorProto, shape: list[int], flat: Array, dtype: int) -> None:
    """Fills `proto` with a tensor of these values; it may have more axes than NumPy allows."""
    proto.CopyFrom(tensors.to_proto(flat))
    proto.dtype = dtype
    del proto.tensor_shape.dim[:]
    for size in shape:
        proto.tensor_shape.dim.add(size=size)


def all_at_once(value: Any, dtype: int) -> Tensor | None:
    """The tensor of a value; None if `collect` has to look at each of its elements."""
    shape: list[int] = []
    level = [value]
    while level and type(level[0]) is list:
        if json_pieces.types(level) != {list}:
            return None
        if any(len(set(map(len, part)) | {len(level[0])}) > 1 for part in json_pieces.parts(level)):
            return None
        shape.append(len(level[0]))
        level = json_pieces.joined(level)
    types = json_pieces.types(level)
    if dtype == _STRING and types <= {str}:
        return shape, to_array(list(map(encode, level)), dtype)
    if dtype == _BOOL and types <= {bool}:
        return shape, to_array(level, dtype)
    if dtype in _INTEGER and types <= {int}:
        low, high = _INTEGER[dtype]
        if all(low <= min(p) and max(p) <= high for p in json_pieces.parts(level) if p):
            return shape, to_array(level, dtype)
    if dtype in _DECIMAL and types <= {int, float}:
        _, digits, largest = _DECIMAL[dtype]
        whole = [item for item in level if type(item) is int] if int in types else []
        if any(max(max(p), -min(p)) >= 2**digits for p in json_pieces.parts(whole) if p):
            return None
        doubles = json_pieces.array(level, np.float64)
        if dtype == _DOUBLE or not np.any((np.abs(doubles) > largest) & np.isfinite(doubles)):
            return shape, doubles.astype(tensors.numpy_dtype(dtype))
    return None


def to_array(row: list[Any], dtype: int) -> Array:
    """Makes a flat array of the values that `collect` has gathered."""
    if dtype == _STRING:
        return np.fromiter(row, object, len(row))
    if dtype in _SMALL_INTEGERS:  # they wrap around, as from a field of int32
        return json_pieces.array(row, np.int32).astype(tensors.numpy_dtype(dtype))
    if dtype in _INTEGER or dtype in _DECIMAL or dtype == _BOOL:
        return json_pieces.array(row, tensors.numpy_dtype(dtype))
    return np.array(row, np.int8)  # without elements: `collect` refuses values of other dtypes


def shape_of(value: Any) -> list[int]:
    """The sizes of nested lists, by the first element of each."""
    shape = []
    while type(value) is list:
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def collect(value: Any, level: int, shape: list[int], dtype: int, row: list[Any]) -> None:
    """Appends the elements of a value to `row`; raises `errors.ServingError` at a wrong one.

    Args:
        value: a value `level` lists deep in a tensor of that shape.
    """
    rank = len(shape)
    if type(value) is not list:
        if level != rank:
            raise malformed(
                value,
                f"found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {rank}",
            )
        row.append(_leaf(value, dtype))
        return
    if level >= rank:
        raise InvalidArgument(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise InvalidArgument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for item in value:
        collect(item, level + 1, shape, dtype, row)


def _leaf(value: Any, dtype: int) -> Any:
    kind = type(value)
    if dtype == _STRING and kind is dict:
        return decode_base64(value)
    if dtype == _STRING and kind is str:
        return encode(value)
    if dtype in _DECIMAL and kind in (int, float):
        return decimal(value, dtype)
    if dtype in _INTEGER and kind is int and _INTEGER[dtype][0] <= value <= _INTEGER[dtype][1]:
        return value
    if dtype == _BOOL and kind is bool:
        return value
    if kind is not dict and dtype not in (_STRING, _BOOL, *_DECIMAL, *_INTEGER):
        to = f"to type: {type_text(dtype)}"
        raise Unimplemented(
            f"Conversion of JSON Value: {debug(value)} {to}", f"Conversion of JSON Value: ... {to}"
        )
    raise malformed(value, f"Type: {type_name(value)} is not of expected type: {type_text(dtype)}")


def decimal(value: float, dtype: int) -> float:
    """Makes a number for a tensor of floats; raises `errors.InvalidArgument` if it does not fit."""
    name, digits, largest = _DECIMAL[dtype]
    if type(value) is int and -(2**63) <= value < 2**64:
        fits = abs(value) < 2**digits
    else:  # an integer beyond 64 bits is a floating-point number to JSON
        fits = not math.isfinite(value) or abs(value) <= largest
    if not fits:
        raise InvalidArgument(
            f"Cannot convert JSON value: {debug(value)} to {name} without loss of precision.",
            f"Cannot convert JSON value: ... to {name} without loss of precision.",
        )
    return float(value)


def type_text(dtype: int) -> str:
    """TensorFlow's name of a dtype in messages, e.g. `"float"` for `DT_FLOAT`."""
    value = wire.DataType.values_by_number.get(dtype)
    return value.name.removeprefix("DT_").lower() if value else f"unknown dtype enum ({dtype})"


def is_base64(value: dict[str, Any]) -> bool:
    """True if an object stands for bytes: `{"b64": "..."}`, without other members."""
    return len(value) == 1 and type(value.get("b64")) is str


def decode_base64(value: dict[str, Any]) -> bytes:
    """Decodes the bytes in such an object; raises `errors.InvalidArgument`."""
    if not is_base64(value):
        raise malformed(value, "not formatted correctly for base64 data")
    text = re.sub(r"[ \t\n\v\f\r]", "", value["b64"])
    digits = text.rstrip("=.")
    padding = len(text) - len(digits)
    try:
        if padding and padding != -len(digits) % 4:
            raise binascii.Error
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:  # the class of binascii.Error, and of the error for text beyond ASCII
        raise InvalidArgument("Unable to base64 decode") from None


def malformed(value: object, what: str) -> InvalidArgument:
    """The error for a malformed value, which it quotes."""
    return InvalidArgument(f"JSON Value: {debug(value)} {what}", f"JSON Value: ... {what}")
