"""TensorFlow's C functions, called in the installed wheel through ctypes.

Python's `import tensorflow` takes seconds and hundreds of megabytes; the library inside the wheel
is all that a server needs, and its C interface is stable. Functions that return at once keep the
GIL (`PyDLL`), because releasing it for a microsecond only invites other threads to take it. Those
that compute or wait release it (`CDLL`). `TF_SessionRun` and `TF_TensorFromProto` are bound both
ways: the names of the forms that keep it end in `_keeping_gil`.
"""

import ctypes
import functools
import importlib.util
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any

from keras_attention_serving import errors

logger = logging.getLogger(__name__)

STRING_BYTES = 24  # sizeof(TF_TString), part of the C interface


class Output(ctypes.Structure):
    """One output of an operation in a graph (`TF_Output`)."""

    _fields_ = [("oper", c_void_p), ("index", c_int)]


class Buffer(ctypes.Structure):
    """Bytes with an owner (`TF_Buffer`)."""

    _fields_ = [("data", c_void_p), ("length", c_size_t), ("deallocator", c_void_p)]


_OUTPUTS, _TENSORS, _STATUS = POINTER(Output), POINTER(c_void_p), c_void_p

# name: (result, arguments)
_KEEPS_GIL: dict[str, tuple[Any, list[Any]]] = {
    "TF_Version": (c_char_p, []),
    "TF_NewStatus": (c_void_p, []),
    "TF_DeleteStatus": (None, [_STATUS]),
    "TF_GetCode": (c_int, [_STATUS]),
    "TF_Message": (c_char_p, [_STATUS]),
    "TF_GetAllOpList": (POINTER(Buffer), []),
    "TF_NewBuffer": (POINTER(Buffer), []),
    "TF_NewBufferFromString": (POINTER(Buffer), [c_char_p, c_size_t]),
    "TF_DeleteBuffer": (None, [POINTER(Buffer)]),
    "TF_NewGraph": (c_void_p, []),
    "TF_DeleteGraph": (None, [c_void_p]),
    "TF_GraphOperationByName": (c_void_p, [c_void_p, c_char_p]),
    "TF_NewSessionOptions": (c_void_p, []),
    "TF_DeleteSessionOptions": (None, [c_void_p]),
    "TF_SetConfig": (None, [c_void_p, c_char_p, c_size_t, _STATUS]),
    "TF_DeleteDeviceList": (None, [c_void_p]),
    "TF_DeviceListCount": (c_int, [c_void_p]),
    "TF_DeviceListName": (c_char_p, [c_void_p, c_int, _STATUS]),
    "TF_DeviceListMemoryBytes": (c_int64, [c_void_p, c_int, _STATUS]),
    "TF_AllocateTensor": (c_void_p, [c_int, POINTER(c_int64), c_int, c_size_t]),
    "TF_DeleteTensor": (None, [c_void_p]),
    "TF_TensorType": (c_int, [c_void_p]),
    "TF_NumDims": (c_int, [c_void_p]),
    "TF_Dim": (c_int64, [c_void_p, c_int]),
    "TF_TensorByteSize": (c_size_t, [c_void_p]),
    "TF_TensorData": (c_void_p, [c_void_p]),
    "TF_StringGetDataPointer": (c_void_p, [c_void_p]),
    "TF_StringGetSize": (c_size_t, [c_void_p]),
}
_RELEASES_GIL: dict[str, tuple[Any, list[Any]]] = {
    "TF_TensorFromProto": (None, [POINTER(Buffer), c_void_p, _STATUS]),
    "TF_NewSession": (c_void_p, [c_void_p, c_void_p, _STATUS]),
    "TF_SessionListDevices": (c_void_p, [c_void_p, _STATUS]),
    "TF_LoadLibrary": (c_void_p, [c_char_p, _STATUS]),
    "TF_DeleteLibraryHandle": (None, [c_void_p]),
    "TF_LoadSessionFromSavedModel": (
        c_void_p,
        [
            c_void_p,  # session options
            POINTER(Buffer),  # run options
            c_char_p,  # folder
            POINTER(c_char_p),  # tags
            c_int,
            c_void_p,  # graph
            POINTER(Buffer),  # out: MetaGraphDef
            _STATUS,
        ],
    ),
    "TF_SessionRun": (
        None,
        [
            c_void_p,
            POINTER(Buffer),  # run options
            _OUTPUTS,  # what is fed
            _TENSORS,
            c_int,
            _OUTPUTS,  # what is fetched
            _TENSORS,
            c_int,
            c_void_p,  # target operations
            c_int,
            c_void_p,  # run metadata
            _STATUS,
        ],
    ),
    "TF_CloseSession": (None, [c_void_p, _STATUS]),
    "TF_DeleteSession": (None, [c_void_p, _STATUS]),
}
# The names of all C functions that are bound.
FUNCTIONS = frozenset({*_KEEPS_GIL, *_RELEASES_GIL})

_loading = threading.Lock()


def library() -> Any:
    """An object with the C functions as attributes; loads the library at the first call.

    It also registers the kernels of tensorflow_text if that is installed.

    Raises `ImportError` if there is no TensorFlow wheel, or one without the library.
    """
    with _loading:
        return _load()


def _path() -> Path:
    folder = _package("tensorflow")
    if folder is None:
        raise ImportError(
            "Expected TensorFlow's wheel, whose C library runs the models: "
            "`pip install tensorflow`. Received: no package named tensorflow"
        )
    path = runtime_library(folder)
    if path is None:
        raise ImportError(f"Expected a TensorFlow wheel with libtensorflow_cc. Received: {folder}")
    return path


def runtime_library(folder: Path) -> Path | None:
    """TensorFlow's C library in the folder of its package, as wheels for each system name it."""
    names = ("libtensorflow_cc.so.2", "libtensorflow_cc.2.dylib")  # Linux, macOS
    return next((path for path in map(folder.joinpath, names) if path.exists()), None)


def operation_libraries(folder: Path) -> list[Path]:
    """The libraries of operations in the folder of tensorflow_text's package.

    Their names begin with an underscore, which tells them from Python's extension modules; on macOS
    they end in `.dylib`.
    """
    return sorted(p for p in folder.rglob("_*") if p.suffix in (".so", ".dylib"))


@functools.cache
def _load() -> Any:
    path = _path()
    # Each session has the threads that it asks for; otherwise all share those of the first one.
    os.environ.setdefault("TF_OVERRIDE_GLOBAL_THREADPOOL", "1")
    # Not RTLD_GLOBAL: the library carries a TLS implementation of its own, and Python's `hashlib`
    # and `ssl` would bind to it and crash.
    with _quiet():
        ctypes.CDLL(str(path), mode=ctypes.RTLD_LOCAL)

    functions = type("Library", (), {})()
    functions.path = str(path)
    for loader, table in ((ctypes.PyDLL, _KEEPS_GIL), (ctypes.CDLL, _RELEASES_GIL)):
        handle = loader(str(path))
        for name, (result, arguments) in table.items():
            setattr(functions, name, _function(handle, name, result, arguments))
    keeping = ctypes.PyDLL(str(path))
    for name in ("TF_SessionRun", "TF_TensorFromProto"):
        setattr(functions, f"{name}_keeping_gil", _function(keeping, name, *_RELEASES_GIL[name]))
    _register_text_operations(functions)
    return functions


def disable_xla() -> None:
    """Makes functions that ask to be compiled by XLA fail, in this process, from now on.

    TensorFlow Serving does so by default. The function is not part of the C interface: if the
    library does not have it, nothing happens.
    """
    library()
    function = getattr(ctypes.CDLL(str(_path())), "_ZN10tensorflow21DisableXlaCompilationEv", None)
    if function is not None:
        function.restype, function.argtypes = None, []
        function()


def _function(handle: ctypes.CDLL, name: str, result: Any, arguments: list[Any]) -> Any:
    function = handle[name]
    function.restype, function.argtypes = result, arguments
    return function


LARGE = 1 << 20
_copy_keeping_gil = _function(
    ctypes.PyDLL(None), "memmove", c_void_p, [c_void_p, c_void_p, c_size_t]
)


def copy(target: int, source: int, size: int) -> None:
    """Copies bytes from one address to another; releases the GIL only if they are many."""
    (ctypes.memmove if size > LARGE else _copy_keeping_gil)(target, source, size)


# Their texts are about the run itself and quote no values:
# CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, UNAVAILABLE.
_ABOUT_NO_VALUES = {1, 4, 8, 12, 14}
_NODE = re.compile(r"\{\{node [^{}]*\}\}")


@contextmanager
def checked(lib: Any, of_run: bool = False) -> Iterator[Any]:
    """A `TF_Status` to pass to a C function; leaving the block raises its error, if it has one.

    The status of a run of a model (`of_run`) may quote values that it was fed. The text for the log
    then holds only the names of the nodes that failed.
    """
    status = lib.TF_NewStatus()
    try:
        yield status
        code = lib.TF_GetCode(status)
        if code:
            text = lib.TF_Message(status).decode(errors="replace")
            nodes = None
            if of_run and code not in _ABOUT_NO_VALUES:
                nodes = " ".join(["The run failed.", *dict.fromkeys(_NODE.findall(text))])
            raise errors.from_code(code, text, nodes)
    finally:
        lib.TF_DeleteStatus(status)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences TensorFlow's log, unless TF_CPP_MIN_LOG_LEVEL asks for it.

    TensorFlow writes its first lines while the library is loaded, before it reads its settings, so
    standard error itself is redirected for that fraction of a second.
    """
    silent = "3"  # nothing is lost: errors are raised
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", silent) != silent:
        yield
        return
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def _package(name: str) -> Path | None:
    """The folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _register_text_operations(lib: Any) -> None:
    folder = _package("tensorflow_text")
    if folder is None:
        return
    for path in operation_libraries(folder):
        try:
            with checked(lib) as status:
                lib.TF_DeleteLibraryHandle(lib.TF_LoadLibrary(str(path).encode(), status))
        except errors.ServingError as error:  # only models that use its operations need it
            logger.warning("tensorflow_text: %s was not loaded: %s", path.name, error)
