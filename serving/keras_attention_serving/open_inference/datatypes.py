"""Datatypes of the Open Inference Protocol, their NumPy dtypes and their fields in messages."""

from typing import Any, NamedTuple

import numpy as np

from keras_attention_serving.errors import InvalidArgument
from keras_attention_serving.protocol import tensors, wire


class Datatype(NamedTuple):
    """A datatype.

    Attributes:
        name: its name in the protocol, e.g. `"FP32"`.
        number: the `DataType` of TensorFlow.
        field: the field of `InferTensorContents`; None if values are sent as raw bytes only.
    """

    name: str
    number: int
    field: str | None

    @property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy dtype; `object` (of bytes) for BYTES."""
        return tensors.numpy_dtype(self.number)


def _datatype(name: str, type_name: str, field: str | None) -> Datatype:
    (number,) = tensors.data_types(type_name)
    return Datatype(name, number, field)


_ALL = (
    _datatype("BOOL", "BOOL", "bool_contents"),
    _datatype("UINT8", "UINT8", "uint_contents"),
    _datatype("UINT16", "UINT16", "uint_contents"),
    _datatype("UINT32", "UINT32", "uint_contents"),
    _datatype("UINT64", "UINT64", "uint64_contents"),
    _datatype("INT8", "INT8", "int_contents"),
    _datatype("INT16", "INT16", "int_contents"),
    _datatype("INT32", "INT32", "int_contents"),
    _datatype("INT64", "INT64", "int64_contents"),
    _datatype("FP16", "HALF", None),
    _datatype("BF16", "BFLOAT16", None),
    _datatype("FP32", "FLOAT", "fp32_contents"),
    _datatype("FP64", "DOUBLE", "fp64_contents"),
    _datatype("BYTES", "STRING", "bytes_contents"),
)
_BY_NAME = {datatype.name: datatype for datatype in _ALL}
_BY_NUMBER = {datatype.number: datatype for datatype in _ALL}


def by_name(name: str, tensor: str) -> Datatype:
    """The datatype of that name; raises `errors.InvalidArgument`, which names the tensor."""
    if name not in _BY_NAME:
        raise InvalidArgument(
            f"Expected the datatype of {tensor} to be one of {', '.join(_BY_NAME)}. "
            f"Received: datatype={name!r:.80}"
        )
    return _BY_NAME[name]


def by_number(number: int, tensor: str) -> Datatype:
    """The datatype for a `DataType`; raises `errors.InvalidArgument`, which names the tensor."""
    if number not in _BY_NUMBER:
        raise InvalidArgument(
            f"Expected {tensor} to have a datatype of the Open Inference Protocol. "
            f"Received: {shown(number)}"
        )
    return _BY_NUMBER[number]


def shown(number: int) -> str:
    """The name of the datatype for a `DataType`; TensorFlow's if the protocol has none."""
    if number in _BY_NUMBER:
        return _BY_NUMBER[number].name
    value = wire.DataType.values_by_number.get(number)
    return value.name if value else str(number)
