"""Values of a tensor from JSON, nested or flat."""

from itertools import chain
from typing import Any

import numpy as np

from keras_attention_serving.errors import InvalidArgument
from keras_attention_serving.open_inference.contents import check_range, element_count
from keras_attention_serving.open_inference.datatypes import Datatype
from keras_attention_serving.protocol.tensors import Array
from keras_attention_serving.rest.json_text import encode, unexpected

_TYPES: dict[str, set[type]] = {
    "b": {bool},
    "i": {int},
    "u": {int},
    "f": {int, float},
    "V": {int, float},
    "O": {str},
}
_WORDS = {"b": "true or false", "i": "integers", "u": "integers", "O": "strings"}


def read(data: Any, shape: list[int], datatype: Datatype, tensor: str) -> Array:
    """Makes a flat array `(n,)` of a JSON value.

    Args:
        data: the value of `"data"`.
        shape: sizes in the request.
        datatype: of the values.
        tensor: names it in errors.

    Raises:
        errors.InvalidArgument: the value does not fit.
    """
    values = _flat(data, shape, tensor)
    size = element_count(shape, tensor)
    if len(values) != size:
        raise InvalidArgument(
            f"Expected {size} values for {tensor}, {datatype.name}{shape}. Received: {len(values)}"
        )
    dtype = datatype.numpy
    allowed = _TYPES[dtype.kind]
    if not allowed.issuperset(map(type, values)):
        wrong = next(value for value in values if type(value) not in allowed)
        raise unexpected(
            f"Expected {_WORDS.get(dtype.kind, 'numbers')} for {tensor}, {datatype.name}.", wrong
        )
    if dtype.kind == "O":
        return np.fromiter(map(encode, values), object, size)
    if dtype.kind in "iu" and size:
        check_range(min(values), max(values), datatype, tensor)
    if dtype.kind in "fV":
        return _rounded(values, datatype, tensor)
    return np.array(values, dtype)


def _flat(data: Any, shape: list[int], tensor: str) -> list[Any]:
    """Flattens the values; nested lists must have the shape."""
    if type(data) is not list:
        return [data]
    if not data or type(data[0]) is not list:
        return data
    sizes: list[int] = []
    level = [data]
    while level and type(level[0]) is list:
        if set(map(type, level)) != {list} or len(set(map(len, level))) > 1:
            raise InvalidArgument(
                f"Expected lists of equal lengths for {tensor}, {shape}. "
                f"Received: others, {len(sizes)} levels deep"
            )
        sizes.append(len(level[0]))
        level = list(chain.from_iterable(level))
    if sizes != shape[: len(sizes)] or (level and len(sizes) != len(shape)):
        raise InvalidArgument(
            f"Expected a flat list for {tensor}, or one nested as its shape {shape}. "
            f"Received: lists of the sizes {sizes[:9]}"
        )
    return level


def _rounded(values: list[Any], datatype: Datatype, tensor: str) -> Array:
    try:
        wide = np.array(values, np.float64)
    except OverflowError:
        wide = np.array([np.nan])
        largest = max(filter(lambda value: type(value) is int, values), key=abs)
    else:
        with np.errstate(over="ignore"):
            narrow = wide.astype(datatype.numpy)
        beyond = np.isinf(narrow.astype(np.float64)) & np.isfinite(wide)
        if not beyond.any():
            return narrow
        largest = values[int(np.argmax(beyond))]
    raise unexpected(f"Expected numbers that fit {datatype.name} for {tensor}.", largest)
