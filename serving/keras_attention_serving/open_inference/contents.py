"""Values of tensors in messages: raw bytes, or numbers and strings in typed fields."""

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from keras_attention_serving.errors import InvalidArgument
from keras_attention_serving.open_inference.datatypes import Datatype
from keras_attention_serving.protocol.tensors import Array

_MAX_AXES = 64  # of NumPy's arrays
_LENGTH = struct.Struct("<I")
_CHUNK = 1 << 14  # values that are written before other threads get a turn
_WIDE = {"int_contents": np.int32, "uint_contents": np.uint32}  # for several datatypes


def from_raw(data: bytes, shape: Sequence[int], datatype: Datatype, tensor: str) -> Array:
    """Makes an array of raw bytes.

    Args:
        data: the bytes, as many as the shape needs.
        shape: sizes.
        datatype: of the values.
        tensor: names it in errors, e.g. `"input 'x'"`.

    Raises:
        errors.InvalidArgument: the bytes do not fit the shape.
    """
    size = element_count(shape, tensor)
    if datatype.name == "BYTES":
        return _shaped(_split(data, size, tensor), shape, tensor)
    expected = size * datatype.numpy.itemsize
    if len(data) != expected:
        raise InvalidArgument(
            f"Expected {expected} bytes for {tensor}, {datatype.name}{list(shape)}. "
            f"Received: {len(data)} bytes"
        )
    if datatype.name == "BOOL" and data.strip(b"\0\1"):
        raise InvalidArgument(f"Expected bytes 0 and 1 for {tensor}, BOOL. Received: other bytes")
    flat = np.frombuffer(data, datatype.numpy.newbyteorder("<"))
    return _shaped(flat.astype(datatype.numpy, copy=False), shape, tensor)


def to_raw(array: Array) -> bytes:
    """The values of an array as bytes."""
    if array.dtype.kind == "O":
        pack = _LENGTH.pack
        return b"".join([pack(len(string)) + string for string in array.ravel().tolist()])
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def from_fields(contents: Any, shape: Sequence[int], datatype: Datatype, tensor: str) -> Array:
    """Makes an array of an `InferTensorContents`; arguments and errors as in `from_raw`."""
    size = element_count(shape, tensor)
    filled = [field.name for field, _ in contents.ListFields()]
    if datatype.field is None:
        raise InvalidArgument(
            f"Expected {tensor}, {datatype.name}, in raw_input_contents. Received: contents"
        )
    if not {datatype.field}.issuperset(filled):
        raise InvalidArgument(
            f"Expected the values of {tensor}, {datatype.name}, in {datatype.field}. "
            f"Received: {', '.join(filled)}"
        )
    values = getattr(contents, datatype.field)
    if len(values) != size:
        raise InvalidArgument(
            f"Expected {size} values for {tensor}, {datatype.name}{list(shape)}. "
            f"Received: {len(values)}"
        )
    if datatype.name == "BYTES":
        return _shaped(np.fromiter(values, object, size), shape, tensor)
    flat = np.asarray(values, _WIDE.get(datatype.field, datatype.numpy))
    if size and datatype.field in _WIDE:
        check_range(int(flat.min()), int(flat.max()), datatype, tensor)
    return _shaped(flat.astype(datatype.numpy, copy=False), shape, tensor)


def fill_fields(contents: Any, array: Array, datatype: Datatype) -> None:
    """Writes the values of an array to an `InferTensorContents`."""
    flat, field = array.ravel(), getattr(contents, datatype.field or "")
    for start in range(0, flat.size, _CHUNK):
        field.extend(flat[start : start + _CHUNK].tolist())


def element_count(shape: Iterable[int], tensor: str) -> int:
    """The number of values in a shape; raises `errors.InvalidArgument` if no array can have it."""
    shape = list(shape)
    if len(shape) > _MAX_AXES:  # before their sizes are multiplied
        raise InvalidArgument(
            f"Expected at most {_MAX_AXES} axes for {tensor}. Received: {len(shape)}"
        )
    if any(size < 0 for size in shape):
        raise InvalidArgument(
            f"Expected sizes of at least 0 in the shape of {tensor}. Received: shape={shape}"
        )
    return math.prod(shape)


def check_range(low: int, high: int, datatype: Datatype, tensor: str) -> None:
    """Raises `errors.InvalidArgument` if integers do not fit their datatype."""
    limits = np.iinfo(datatype.numpy)
    for value in (low, high):
        if not limits.min <= value <= limits.max:
            expected = f"Expected integers from {limits.min} to {limits.max} for {tensor}, "
            expected += f"{datatype.name}. Received: "
            raise InvalidArgument(f"{expected}{value}", f"{expected}...")


def _split(data: bytes, size: int, tensor: str) -> Array:
    """`size` strings with their lengths in front."""
    unpack, strings, at = _LENGTH.unpack_from, [], 0
    try:
        for _ in range(size):
            (length,) = unpack(data, at)
            start = at + 4
            at = start + length
            strings.append(data[start:at])
    except struct.error:
        at = -1  # the bytes end before the last string
    if at != len(data):
        raise InvalidArgument(
            f"Expected {size} strings for {tensor}, BYTES, each behind its length in four bytes. "
            f"Received: {len(data)} bytes, which are other than that"
        )
    return np.fromiter(strings, object, size)


def _shaped(flat: Array, shape: Sequence[int], tensor: str) -> Array:
    try:
        return flat.reshape(tuple(shape))
    except (ValueError, OverflowError):
        raise InvalidArgument(
            f"Expected a shape that an array can have for {tensor}. Received: shape={list(shape)}"
        ) from None
