"""The service over gRPC: paths to methods, exceptions to statuses."""

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from keras_attention_serving import errors, wire
from keras_attention_serving.service import Service

logger = logging.getLogger(__name__)

MAX_ERROR_CHARACTERS = 1024
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def make_server(service: Service, max_threads: int | None = None) -> grpc.Server:
    """A gRPC server for a service, without a port yet.

    A thread per call under way measured faster than an event loop; there are four per processor
    by default.
    """
    threads = max_threads or 4 * (os.cpu_count() or 1)
    server = grpc.server(
        ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
        # Without this, two servers could share a port, and its calls, unnoticed.
        options=[*wire.CHANNEL_SIZE_OPTIONS, ("grpc.so_reuseport", 0)],
    )
    methods = {
        wire.PREDICT: (service.predict, wire.PredictRequest),
        wire.GET_MODEL_METADATA: (service.get_model_metadata, wire.GetModelMetadataRequest),
        wire.GET_MODEL_STATUS: (service.get_model_status, wire.GetModelStatusRequest),
    }
    for path, (method, request) in methods.items():
        _, name, rpc = path.split("/")
        handler = grpc.unary_unary_rpc_method_handler(
            _answer(method),
            request_deserializer=request.FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(name, {rpc: handler}),)
        )
    return server


def _answer(method: Callable[[Any, float | None], Any]) -> Callable[[Any, Any], Any]:
    """The only place where an exception becomes a status."""

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(request, _seconds_left(context))
        except errors.ServingError as error:
            context.abort(_CODES[error.code], _shortened(error.message))
        except Exception:
            logger.exception("A call failed in a way that should not be.")
            context.abort(grpc.StatusCode.INTERNAL, "Internal error; see the log of the server.")

    return answer


def _seconds_left(context: grpc.ServicerContext) -> float | None:
    left: float | None = context.time_remaining()
    a_year = 3e7
    return None if left is None or left > a_year else left


def _shortened(text: str) -> str:
    if len(text) <= MAX_ERROR_CHARACTERS:
        return text
    return text[:MAX_ERROR_CHARACTERS] + "...TRUNCATED"
