"""Responses in JSON, with the line breaks, the indents and the numbers of TensorFlow Serving.

A number is written with six significant digits if these are exact, and otherwise with the digits
that every number of its type needs. Whole ones end in `.0`, so that a reader can tell the type.
`NaN` and `Infinity` are written as such, which JSON does not have.
"""

import base64
from collections.abc import Mapping, Sequence

import numpy as np

from keras_attention_serving.errors import InvalidArgument
from keras_attention_serving.protocol import tensors, wire
from keras_attention_serving.protocol.tensors import Array
from keras_attention_serving.rest import json_pieces
from keras_attention_serving.rest.json_text import encode, quote
from keras_attention_serving.rest.json_values import type_text

_INDENT = "    "
_DIGITS = {np.dtype(np.float32): "%.9g,", np.dtype(np.float64): "%.17g,"}
_INTEGERS = {np.dtype(name) for name in ("i1", "i2", "i4", "i8", "u1", "u4", "u8")}
_NAMES = {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def predictions(outputs: Mapping[str, wire.TensorProto | Array], rows: bool) -> bytes:
    """The body of the response to a predict call.

    Args:
        outputs: `TensorProto`s, or arrays, by name.
        rows: True for row format (`predictions`), False for columnar format (`outputs`).

    Raises:
        errors.InvalidArgument: a dtype has no JSON, or the outputs cannot be split by rows.
    """
    if not outputs:
        raise InvalidArgument("Cannot convert empty tensor map to JSON")
    arrays = {name: _array(proto) for name, proto in sorted(outputs.items())}
    return encode(_rows(arrays) if rows else _columns(arrays))


def classifications(result: wire.ClassificationResult) -> bytes:
    """The body of the response to a classify call, from a `ClassificationResult`."""
    if not result.classifications:
        raise InvalidArgument("Cannot convert empty ClassificationResults to JSON")
    rows = []
    for entry in result.classifications:
        scores = decimals(np.array([c.score for c in entry.classes], np.float32))
        labels = [quote(c.label) for c in entry.classes]
        pairs = [f"[{label}, {score}]" for label, score in zip(labels, scores, strict=True)]
        rows.append(_line(pairs))
    return encode(f'{{\n{_INDENT}"results": [{", ".join(rows)}\n{_INDENT}]\n}}')


def regressions(result: wire.RegressionResult) -> bytes:
    """The body of the response to a regress call, from a `RegressionResult`."""
    if not result.regressions:
        raise InvalidArgument("Cannot convert empty RegressionResults to JSON")
    values = decimals(np.array([r.value for r in result.regressions], np.float32))
    return encode(f'{{\n{_INDENT}"results": {_line(values)}\n}}')


def error(message: str) -> bytes:
    """The body of an error."""
    return f'{{\n{_INDENT}"error": {quote(message)}\n}}'.encode("utf-8", "replace")


def names(key: str, values: Sequence[str]) -> bytes:
    """The body of a list of names."""
    return encode(_object([f"{quote(key)}: {_line([quote(value) for value in values])}"], 0))


def decimals(array: Array) -> list[str]:
    """The numbers of a float32 or float64 array as texts."""
    if not array.size:
        return []
    values = array.reshape(-1)
    short = (("%g," * values.size) % tuple(values.tolist())).split(",")
    short.pop()
    # Parsed as float64 and then rounded: 6 digits are never so near the middle of two float32.
    exact = np.array(list(map(float, short))).astype(values.dtype) == values
    if not exact.all():
        rest = values[~exact].tolist()
        long = iter(((_DIGITS[values.dtype] * len(rest)) % tuple(rest)).split(","))
        short = [s if ok else next(long) for s, ok in zip(short, exact.tolist(), strict=True)]
    return [s if "." in s or "e" in s else _NAMES.get(s) or s + ".0" for s in short]


def _array(proto: wire.TensorProto | Array) -> tuple[Array, int]:
    """The array, and its DataType, of an output."""
    if isinstance(proto, np.ndarray):
        return proto, tensors.data_type(proto.dtype)
    try:
        return tensors.to_array(proto), proto.dtype
    except ValueError:  # a dtype that NumPy does not have either
        raise _no_json(proto.dtype) from None


def _no_json(dtype: int) -> InvalidArgument:
    return InvalidArgument(f"Failed to write JSON value for tensor type: {type_text(dtype)}")


def _rows(arrays: Mapping[str, tuple[Array, int]]) -> str:
    size = -1
    for name, (array, _) in arrays.items():
        if not array.ndim:
            raise InvalidArgument(f"Tensor name: {name} has no shape information ")
        if size not in (-1, len(array)):
            raise InvalidArgument(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {size}"
            )
        size = len(array)
    if len(arrays) == 1:
        ((name, (array, dtype)),) = arrays.items()
        items = _nested(_texts(name, array, dtype, 1 + array.ndim), array.shape[1:], None, size)
        listed = f"[{_joined(', ', items)}\n{_INDENT}]" if items else "[]"
        if len(items) > json_pieces.PART:
            json_pieces.discard(items)
        return f'{{\n{_INDENT}"predictions": {listed}\n}}'
    columns = [
        _nested(_texts(name, array, dtype, 2 + array.ndim), array.shape[1:], None, size)
        for name, (array, dtype) in arrays.items()
    ]
    names = [quote(name) for name in arrays]
    objects = [
        _object([f"{name}: {item}" for name, item in zip(names, row, strict=True)], 2)
        for row in zip(*columns, strict=True)
    ]
    return _object([f'"predictions": {_broken(objects, 1)}'], 0)


def _columns(arrays: Mapping[str, tuple[Array, int]]) -> str:
    depth = 1 if len(arrays) == 1 else 2
    texts = []
    for name, (array, dtype) in arrays.items():
        leaves = _texts(name, array, dtype, depth + array.ndim)
        (text,) = _nested(leaves, array.shape, depth, 1)
        texts.append(text if depth == 1 else f"{quote(name)}: {text}")
    return _object([f'"outputs": {texts[0] if depth == 1 else _object(texts, 1)}'], 0)


def _texts(name: str, array: Array, dtype: int, depth: int) -> list[str]:
    """The elements of an array as JSON texts; `depth` is the number of brackets around each."""
    if array.size > json_pieces.PART:
        result: list[str] = []
        flat = array.reshape(-1)
        for start in range(0, flat.size, json_pieces.PART):
            result += _texts(name, flat[start : start + json_pieces.PART], dtype, depth)
        return result
    if not array.size:
        return []
    if array.dtype in _DIGITS:
        return decimals(array)
    if array.dtype in _INTEGERS:
        return list(map(str, array.ravel().tolist()))
    if array.dtype == np.bool_:
        return ["true" if item else "false" for item in array.ravel().tolist()]
    if dtype != tensors.DT_STRING:
        raise _no_json(dtype)
    strings = array.ravel().tolist()
    if name.endswith("_bytes"):
        return [_object([f'"b64": "{base64.b64encode(s).decode()}"'], depth) for s in strings]
    return [quote(s.decode("utf-8", "surrogateescape")) for s in strings]


def _nested(texts: list[str], shape: Sequence[int], depth: int | None, count: int) -> list[str]:
    """Nests the texts of elements into `count` arrays of a shape.

    Each array is on one line if `depth` is None. Otherwise each element is on its own line, which
    is indented by `depth` levels.
    """
    for axis in reversed(range(len(shape))):
        size = shape[axis]
        groups = count * int(np.prod(shape[:axis], dtype=np.int64))
        parts = (
            [texts[i * size : (i + 1) * size] for i in range(groups)] if groups != 1 else [texts]
        )
        shorter = [_line(p) if depth is None else _broken(p, depth + axis) for p in parts]
        if len(texts) > json_pieces.PART:
            json_pieces.discard(parts)
            json_pieces.discard(texts)
        texts = shorter
    return texts


def _joined(separator: str, items: list[str]) -> str:
    return separator.join([separator.join(part) for part in json_pieces.parts(items)])


def _line(items: list[str]) -> str:
    return "[" + _joined(", ", items) + "]"


def _broken(items: list[str], depth: int) -> str:
    if not items:
        return "[]"
    line = "\n" + _INDENT * (depth + 1)
    return "[" + line + _joined("," + line, items) + "\n" + _INDENT * depth + "]"


def _object(members: list[str], depth: int) -> str:
    line = "\n" + _INDENT * (depth + 1)
    return "{" + line + ("," + line).join(members) + "\n" + _INDENT * depth + "}"
