"""Proxy of TensorFlow's profiler service.

Messages are forwarded as bytes. The first call starts the service inside TensorFlow, on another
port, which is open to everybody and not encrypted. There is no C function for that; the C++ one is
called by its mangled name, in versions of TensorFlow that this was tested with and in no others.
"""

import ctypes
import logging
import socket
import threading
from typing import Any

import grpc

from keras_attention_serving import errors
from keras_attention_serving.runtime import c_api

logger = logging.getLogger(__name__)

PREFIX = "/tensorflow.ProfilerService/"
_START = "_ZN3tsl8profiler14ProfilerServer19StartProfilerServerEi"
TESTED = ("2.21.",)  # prefixes of version numbers
# Of the C++ object: more than its two pointers, and zero as its constructor writes them.
_OBJECT_BYTES = 64


def check(restricted: bool) -> None:
    """Raises `errors.FailedPrecondition` if the service cannot be offered.

    Args:
        restricted: the server takes credentials, or does not listen on all interfaces.
    """
    if restricted:
        raise errors.FailedPrecondition(
            "Expected no credentials, host or socket with enable_profiler: the profiler's own port "
            "is open to everybody. Received: enable_profiler=True"
        )
    version = c_api.library().TF_Version().decode()
    if not version.startswith(TESTED):
        raise errors.FailedPrecondition(
            f"Expected TensorFlow {' or '.join(f'{known}*' for known in TESTED)} with "
            f"enable_profiler. Received: {version}"
        )


class Profiler(grpc.GenericRpcHandler):
    """Handler that forwards all calls to the profiler service."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler | None:
        method = handler_call_details.method
        if not method.startswith(PREFIX):
            return None

        def forward(request: bytes, context: grpc.ServicerContext) -> bytes | None:
            try:
                call = self._connected().unary_unary(method)
                answer: bytes = call(request, timeout=context.time_remaining())
                return answer
            except errors.ServingError as error:
                context.abort(grpc.StatusCode.UNIMPLEMENTED, error.message)
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())
            return None

        return grpc.unary_unary_rpc_method_handler(forward)

    def _connected(self) -> grpc.Channel:
        with self._lock:
            if self._channel is None:
                self._channel = grpc.insecure_channel(f"localhost:{_start()}")
            return self._channel


def _start() -> int:
    """Starts the service inside TensorFlow, which cannot be stopped; returns its port."""
    try:
        start = ctypes.CDLL(c_api.library().path)[_START]
    except AttributeError:
        raise errors.Unimplemented("This TensorFlow has no profiler service.") from None
    start.restype, start.argtypes = None, [ctypes.c_void_p, ctypes.c_int]
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
    start(ctypes.create_string_buffer(_OBJECT_BYTES), port)
    logger.info("Profiler service started on port %d", port)
    return port
