"""A SavedModel on TensorFlow's C runtime, with the loader and session of TensorFlow Serving."""

import ctypes
import functools
import time
from collections.abc import Iterable, Mapping, Sequence
from ctypes import c_char_p, c_int64, c_void_p
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from keras_attention_serving import errors
from keras_attention_serving.protocol import tensors, wire
from keras_attention_serving.protocol.tensors import Array
from keras_attention_serving.runtime import c_api
from keras_attention_serving.runtime.quick_runs import QuickRuns
from keras_attention_serving.runtime.trial_runs import trial

_VARIABLES = {"VarHandleOp", "VariableV2", "Variable"}
_IN_CALLER_THREAD: bytes = wire.RunOptions(inter_op_thread_pool=-1).SerializeToString()


class SavedModel:
    """A loaded SavedModel, run by the names of its tensors.

    Calls of `run` may come from any number of threads; `close` may not overlap with them. As in
    TensorFlow Serving, shapes are not compared with the signature: the graph itself refuses others.
    The exception are strings for graphs with operations that are not TensorFlow's own: those of
    tensorflow_text crash the process if they get another rank than they expect.

        with SavedModel("saved_models/date_normalizer/1") as model:
            signature = model.signatures["serving_default"]
            (text,) = model.run(
                {signature.inputs["text"].name: np.array([b"3 May 2021"], object)},
                [signature.outputs["text"].name],
            )

    Args:
        path: folder that holds `saved_model.pb`.
        tags: tags of the graph to load.
        config: a serialized `tensorflow.ConfigProto` (threads, GPU memory); none by default.
        max_seconds: the longest that a run may take; no limit by default.

    Attributes:
        signatures: `SignatureDef` messages by name.
        max_seconds: the argument; may be changed at any time.
        trial: a run that changes nothing, to measure it by; None if there is none.

    Raises:
        ImportError: TensorFlow's wheel is not installed.
        errors.ServingError: TensorFlow's error for the folder, e.g. `NotFound`.
    """

    platform = "tensorflow_savedmodel"

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        tags: Sequence[str] = ("serve",),
        config: bytes | None = None,
        max_seconds: float | None = None,
    ) -> None:
        self.max_seconds = max_seconds
        self._lib = lib = c_api.library()
        # Checked before TensorFlow reads the folder: the model may still be being copied into it.
        index = Path(path) / "variables" / "variables.index"
        has_values = index.exists()
        self._outputs: dict[str, c_api.Output] = {}
        self._ranks: dict[str, int] = {}  # required ranks of tensors
        self._session: int | None = None
        self._graph: int | None = lib.TF_NewGraph()
        options = lib.TF_NewSessionOptions()
        meta_graph = lib.TF_NewBuffer()
        try:
            with c_api.checked(lib) as status:
                if config is not None:
                    lib.TF_SetConfig(options, config, len(config), status)
            names = (c_char_p * len(tags))(*(tag.encode() for tag in tags))
            with c_api.checked(lib) as status:
                self._session = lib.TF_LoadSessionFromSavedModel(
                    options,
                    None,
                    fspath(path).encode(),
                    names,
                    len(tags),
                    self._graph,
                    meta_graph,
                    status,
                )
            buffer = meta_graph.contents
            data = (ctypes.c_char * buffer.length).from_address(buffer.data)
            parsed = wire.MetaGraphDef.FromString(bytes(data))
            if not has_values and _has_variables(parsed):
                # TensorFlow would load it, and fail at every call.
                raise errors.NotFound(f"{index}; No such file, and the graph has variables")
            self.signatures = _signatures(parsed)
            self._quick = QuickRuns(parsed)
            self.trial = trial(parsed, _stateful_operations)
            if any(">" in op for op in _operations(parsed.graph_def)):
                self._ranks = _ranks(self.signatures.values())
        except BaseException:
            self.close()
            raise
        finally:
            lib.TF_DeleteBuffer(meta_graph)
            lib.TF_DeleteSessionOptions(options)

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout: float | None = None
    ) -> list[Array]:
        """Computes tensors of the graph.

        Args:
            feeds: arrays by the name of the tensor they stand for, e.g. `"serving_text:0"`;
                strings are `object` arrays of `bytes` or `str`.
            fetches: names of the tensors to compute.
            timeout: seconds after which the computation is abandoned; none by default.

        Returns:
            One array per fetch, in its order; strings are `object` arrays of `bytes`.

        Raises:
            errors.ServingError: TensorFlow's error, e.g. `InvalidArgument` for a wrong dtype,
                `DeadlineExceeded` after the timeout.
            ValueError: an array has a dtype that TensorFlow does not know.
        """
        if self._session is None:
            raise errors.Unavailable("The model is closed.")
        if self.max_seconds is not None:
            timeout = self.max_seconds if timeout is None else min(timeout, self.max_seconds)
        if timeout is not None and timeout <= 0:
            raise errors.DeadlineExceeded("Timed out before the computation began.")
        for name in self._ranks:
            if name in feeds and feeds[name].ndim != self._ranks[name]:
                raise errors.InvalidArgument(
                    f"Expected a tensor of rank {self._ranks[name]} for {name}. "
                    f"Received: rank {feeds[name].ndim}"
                )
        lib = self._lib
        key = self._quick.key(feeds, fetches)
        quick = self._quick.has(key)
        session_run = lib.TF_SessionRun_keeping_gil if quick else lib.TF_SessionRun
        sources = [self._output(name) for name in feeds]
        targets = [self._output(name) for name in fetches]
        fed: list[int] = []
        fetched = (c_void_p * len(targets))()
        options = None
        try:
            for array in feeds.values():
                fed.append(_to_tensor(lib, array))
            run_options = _run_options(timeout, quick)
            if run_options:
                options = _buffer(lib, run_options)
            start = time.monotonic()
            with c_api.checked(lib, of_run=True) as status:
                session_run(
                    self._session,
                    options,
                    (c_api.Output * len(sources))(*sources),
                    (c_void_p * len(fed))(*fed),
                    len(fed),
                    (c_api.Output * len(targets))(*targets),
                    fetched,
                    len(targets),
                    None,  # operations to run for their effect alone
                    0,
                    None,  # where to put RunMetadata
                    status,
                )
            seconds = time.monotonic() - start
            outputs = [_to_array(lib, tensor) for tensor in fetched]
            self._quick.note(key, seconds, outputs)
            return outputs
        finally:
            if options is not None:
                lib.TF_DeleteBuffer(options)
            for tensor in (*fed, *filter(None, fetched)):
                lib.TF_DeleteTensor(tensor)

    def is_quick(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> bool:
        """True if a run is known to be quick: see `QuickRuns`."""
        return self._quick.has(self._quick.key(feeds, fetches))

    def close(self) -> None:
        """Frees the session and the graph; a second call does nothing."""
        session, self._session = self._session, None
        graph, self._graph = self._graph, None
        if session is not None:
            with c_api.checked(self._lib) as status:
                self._lib.TF_CloseSession(session, status)
            with c_api.checked(self._lib) as status:
                self._lib.TF_DeleteSession(session, status)
        if graph is not None:
            self._lib.TF_DeleteGraph(graph)

    def __enter__(self) -> "SavedModel":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _output(self, name: str) -> c_api.Output:
        if name not in self._outputs:
            operation, _, index = name.partition(":")
            pointer = self._lib.TF_GraphOperationByName(self._graph, operation.encode())
            if pointer is None:
                raise errors.NotFound(f"Tensor {name} was not found in the graph.")
            self._outputs[name] = c_api.Output(pointer, int(index or 0))
        return self._outputs[name]


@functools.cache
def _stateful_operations() -> frozenset[str]:
    lib = c_api.library()
    buffer = lib.TF_GetAllOpList()
    try:
        data = (ctypes.c_char * buffer.contents.length).from_address(buffer.contents.data)
        operations = wire.OpList.FromString(bytes(data)).op
    finally:
        lib.TF_DeleteBuffer(buffer)
    return frozenset(operation.name for operation in operations if operation.is_stateful)


def _signatures(parsed: wire.MetaGraphDef) -> dict[str, wire.SignatureDef]:
    # Copies: a message inside `parsed` would keep its whole graph in memory.
    return {
        name: wire.SignatureDef.FromString(signature.SerializeToString())
        for name, signature in parsed.signature_def.items()
    }


def _has_variables(parsed: wire.MetaGraphDef) -> bool:
    """True if a graph has variables that it reads from files."""
    restores = bool(parsed.saver_def.restore_op_name)
    return restores and any(node.op in _VARIABLES for node in parsed.graph_def.node)


def _operations(graph: wire.GraphDef) -> set[str]:
    """The kinds of operations in a graph and its functions."""
    bodies = [graph.node, *(function.node_def for function in graph.library.function)]
    return {node.op for body in bodies for node in body}


def _ranks(signatures: Iterable[wire.SignatureDef]) -> dict[str, int]:
    """The ranks of inputs of strings by tensor name, if signatures state them."""
    return {
        info.name: len(info.tensor_shape.dim)
        for signature in signatures
        for info in signature.inputs.values()
        if info.dtype == tensors.DT_STRING and not info.tensor_shape.unknown_rank
    }


def _run_options(timeout: float | None, quick: bool) -> bytes:
    """Serialized `RunOptions`.

    A quick run is computed in the caller's thread, which also keeps the GIL: handing either over
    and back takes longer than the run. A timeout has no effect then.
    """
    if quick:
        return _IN_CALLER_THREAD
    if timeout is None:
        return b""
    milliseconds = max(1, int(timeout * 1000))
    data: bytes = wire.RunOptions(timeout_in_ms=milliseconds).SerializeToString()
    return data


def _buffer(lib: Any, data: bytes) -> Any:
    return lib.TF_NewBufferFromString(data, len(data))


def _to_tensor(lib: Any, array: Array) -> int:
    """A new TF_Tensor with a copy of the array. The caller deletes it."""
    number = tensors.data_type(array.dtype)
    if number == tensors.DT_STRING:
        return _strings_to_tensor(lib, array)
    shape, size = array.shape, array.nbytes
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    tensor: int | None = lib.TF_AllocateTensor(
        number, (c_int64 * len(shape))(*shape), len(shape), size
    )
    if tensor is None:
        raise errors.ResourceExhausted(f"No memory for a tensor of {size} bytes.")
    data = lib.TF_TensorData(tensor)
    if size and not data:  # the library's sign that there is no memory
        lib.TF_DeleteTensor(tensor)
        raise errors.ResourceExhausted(f"No memory for a tensor of {size} bytes.")
    if size:
        c_api.copy(data, array.ctypes.data, size)
    return tensor


def _strings_to_tensor(lib: Any, array: Array) -> int:
    # TensorFlow unpacks the strings of a message faster than one call per string could.
    data = tensors.to_proto(array).SerializeToString()
    large = len(data) > c_api.LARGE
    unpack = lib.TF_TensorFromProto if large else lib.TF_TensorFromProto_keeping_gil
    buffer = _buffer(lib, data)
    tensor: int = lib.TF_AllocateTensor(tensors.DT_STRING, (c_int64 * 1)(0), 1, 0)
    try:
        with c_api.checked(lib) as status:
            unpack(buffer, tensor, status)
    except BaseException:
        lib.TF_DeleteTensor(tensor)
        raise
    finally:
        lib.TF_DeleteBuffer(buffer)
    return tensor


def _to_array(lib: Any, tensor: int | None) -> Array:
    """A copy of a TF_Tensor."""
    number = lib.TF_TensorType(tensor)
    shape = tuple(lib.TF_Dim(tensor, i) for i in range(lib.TF_NumDims(tensor)))
    array = np.empty(shape, tensors.numpy_dtype(number))
    data = lib.TF_TensorData(tensor)
    if number == tensors.DT_STRING:
        flat = array.reshape(-1)
        for i in range(flat.size):
            string = data + i * c_api.STRING_BYTES
            flat[i] = ctypes.string_at(
                lib.TF_StringGetDataPointer(string), lib.TF_StringGetSize(string)
            )
    elif array.nbytes:
        c_api.copy(array.ctypes.data, data, array.nbytes)
    return array
