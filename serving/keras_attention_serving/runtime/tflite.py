"""Models in the TensorFlow Lite format, with the interface of a SavedModel.

A version folder may hold `model.tflite`. Its signatures are the SignatureDefs among the metadata of
the file: a FlexBuffers map from names to serialized messages. If there are none, it has one,
`serving_default`, in which inputs and outputs have the names of their tensors, such as
`serving_default_x:0`. TensorFlow Serving reads it in the same way.

It runs on the package `ai-edge-litert`, which is needed only for such models.
"""

import logging
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import LifoQueue
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from keras_attention_serving import errors
from keras_attention_serving.protocol import tensors, wire
from keras_attention_serving.protocol.tensors import Array

logger = logging.getLogger(__name__)

FILE = "model.tflite"
_METADATA = "signature_defs_metadata"
_PREDICT_METHOD = "tensorflow/serving/predict"


class TfLiteModel:
    """A loaded TensorFlow Lite model, run by the names of its tensors.

    Calls of `run` may come from any number of threads; each takes an interpreter of its own.

    Args:
        path: the file.
        interpreters: number of calls that may run at a time; they are made when they are needed.

    Attributes:
        signatures: `SignatureDef` messages by name.

    Raises:
        ImportError: the package `ai-edge-litert` is not installed.
        errors.ServingError: the file cannot be read or is no such model.
    """

    platform = "tensorflow_lite"

    def __init__(self, path: Path, interpreters: int = 1) -> None:
        try:
            self._content: bytes | None = path.read_bytes()
        except OSError as error:
            raise errors.from_os_error(error, str(path)) from None
        # Free interpreters, and None for each that may still be made.
        self._free: LifoQueue[Any] = LifoQueue()
        first = _interpreter(self._content)
        names = _names(first, "input"), _names(first, "output")
        self._inputs, self._outputs = ({info["name"]: info for info in part} for part in names)
        self.signatures: dict[str, Any] = _metadata_signatures(self._content)
        for signature in self.signatures.values():
            _resolve(signature.inputs, self._inputs, "input")
            _resolve(signature.outputs, self._outputs, "output")
        if not self.signatures:
            self.signatures[wire.DEFAULT_SIGNATURE] = _plain_signature(*names)
        for item in (*(None,) * (interpreters - 1), first):
            self._free.put(item)

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout: float | None = None
    ) -> list[Array]:
        """Computes outputs; see `SavedModel.run`. A run that has begun goes on to its end.

        Raises:
            errors.InvalidArgument: a tensor does not exist, or has another dtype.
            errors.Internal: TensorFlow Lite's error for the run.
        """
        if timeout is not None and timeout <= 0:
            raise errors.DeadlineExceeded("Timed out before the computation began.")
        inputs = [_find(self._inputs, name, "input") for name in feeds]
        outputs = [_find(self._outputs, name, "output") for name in fetches]
        for info, array in zip(inputs, feeds.values(), strict=True):
            _check_dtype(info, array)
        content = self._content
        if content is None:
            raise errors.Unavailable("The model is closed.")
        interpreter, sound = self._free.get(), False
        try:
            if interpreter is None:
                interpreter = _interpreter(content)
            arrays = _run(interpreter, inputs, list(feeds.values()), outputs)
            sound = True
            return arrays
        finally:
            # After a failure an interpreter may lack memory for its tensors: it is not used again.
            self._free.put(interpreter if sound else None)

    def is_quick(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> bool:
        """False: a run may have to wait for an interpreter."""
        return False

    def close(self) -> None:
        """Frees the interpreters; may not overlap with `run`."""
        self._content = None
        while not self._free.empty():
            self._free.get()


def _interpreter(content: bytes) -> Any:
    try:
        from ai_edge_litert.interpreter import (
            Interpreter,  # imported late, because it takes a while
        )
    except ImportError:
        raise ImportError(
            "Expected the package ai-edge-litert, which runs models in the TensorFlow Lite "
            "format: `pip install ai-edge-litert`. Received: no such package"
        ) from None
    try:
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise errors.InvalidArgument(f"Cannot build Interpreter from buffer: {error}") from None
    return interpreter


def _run(
    interpreter: Any,
    inputs: Sequence[Mapping[str, Any]],
    arrays: Sequence[Array],
    outputs: Sequence[Mapping[str, Any]],
) -> list[Array]:
    try:
        shapes = {info["index"]: tuple(info["shape"]) for info in interpreter.get_input_details()}
        resized = False
        for info, array in zip(inputs, arrays, strict=True):
            if shapes[info["index"]] != array.shape:
                interpreter.resize_tensor_input(info["index"], array.shape)
                resized = True
        if resized:
            interpreter.allocate_tensors()
        for info, array in zip(inputs, arrays, strict=True):
            interpreter.set_tensor(info["index"], array)
        interpreter.invoke()
        return [_as_array(interpreter.get_tensor(info["index"])) for info in outputs]
    except (RuntimeError, ValueError) as error:
        raise errors.Internal(
            f"Failed to run interpreter: {error}", "Failed to run interpreter."
        ) from None


def _as_array(value: Any) -> Array:
    array = np.asarray(value)
    return array.astype(object) if array.dtype.kind in "SU" else array


def _names(interpreter: Any, side: str) -> list[Any]:
    infos: list[Any] = getattr(interpreter, f"get_{side}_details")()
    return sorted(infos, key=lambda info: str(info["name"]))


def _find(infos: Mapping[str, Any], name: str, side: str) -> Any:
    """A tensor by its name."""
    known = _known(infos, name)
    if known is None:
        raise errors.InvalidArgument(f"Missing {side} TFLite tensor: {name}")
    return infos[known]


def _known(infos: Mapping[str, Any], name: str) -> str | None:
    """The name of a tensor in the file; either may be `x:0` where the other is `x`."""
    names = name, name.rpartition(":")[0], f"{name}:0"
    return next((known for known in names if known in infos), None)


def _resolve(entries: Mapping[str, Any], infos: Mapping[str, Any], side: str) -> None:
    """Replaces the names in the `TensorInfo`s of a signature by those in the file."""
    for alias, entry in entries.items():
        known = _known(infos, entry.name)
        if known is None:
            raise errors.Internal(
                f"Unknown tensor '{entry.name}'. "
                f"Signature {side} {alias} references an unknown tensor"
            )
        entry.name = known


def _number(info: Mapping[str, Any]) -> int:
    dtype = np.dtype(info["dtype"])
    return tensors.DT_STRING if dtype.kind in "SUO" else tensors.data_type(dtype)


def _check_dtype(info: Mapping[str, Any], array: Array) -> None:
    expected, sent = _number(info), tensors.data_type(array.dtype)
    if expected != sent:
        names = [wire.DataType.values_by_number[number].name for number in (expected, sent)]
        raise errors.InvalidArgument(
            f"Expects {info['name']} to be {names[0]} but {names[1]} is provided"
        )


def _plain_signature(inputs: Sequence[Any], outputs: Sequence[Any]) -> wire.SignatureDef:
    signature = wire.SignatureDef(method_name=_PREDICT_METHOD)
    for infos, target in ((inputs, signature.inputs), (outputs, signature.outputs)):
        for info in infos:
            entry = target[info["name"]]
            entry.name, entry.dtype = info["name"], _number(info)
            entry.tensor_shape.SetInParent()
            for size in info["shape"]:
                entry.tensor_shape.dim.add(size=int(size))
    return signature


def _metadata_signatures(content: bytes) -> dict[str, wire.SignatureDef]:
    """The SignatureDefs among the metadata of a file, by name.

    Raises `errors.InvalidArgument` if they are malformed.
    """
    from ai_edge_litert.schema_py_generated import Model  # the format of the file

    model = Model.GetRootAsModel(content, 0)
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == _METADATA.encode():
            return _read_map(bytes(model.Buffers(entry.Buffer()).DataAsNumpy()))
    return {}


def _read_map(data: bytes) -> dict[str, Any]:
    from flatbuffers import flexbuffers

    try:
        entries = flexbuffers.GetRoot(data).AsMap
        return {
            key.AsKeyBytes.decode(): wire.SignatureDef.FromString(
                bytes(value.AsBlob if value.IsBlob else value.AsStringBytes)
            )
            for key, value in zip(entries.Keys, entries.Values, strict=True)
        }
    # FlexBuffers trusts its offsets, so that other formats fail in many ways.
    except (
        *(ArithmeticError, AssertionError, DecodeError, LookupError, TypeError, ValueError),
        struct.error,
    ):
        raise errors.InvalidArgument("Invalid SignatureDefs found in TfLite model") from None
