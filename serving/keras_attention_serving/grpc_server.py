"""The service over gRPC: paths to methods, exceptions to statuses."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from keras_attention_serving import errors, standard_services, wire
from keras_attention_serving.cancellation import Cancellation
from keras_attention_serving.metrics import NO_METRICS, Metrics
from keras_attention_serving.profiler import Profiler
from keras_attention_serving.service import Service

logger = logging.getLogger(__name__)

MAX_ERROR_CHARACTERS = 1024
MAX_BATCHED_CALLS = 256  # calls that may wait for each other, when there is batching
MAX_QUEUED_CALLS = 1024  # calls that may wait for a thread; more are refused at once
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_COUNTED = {wire.PREDICT: "Predict", wire.CLASSIFY: "Classify", wire.REGRESS: "Regress"}
_A_YEAR = 3e7

Method = Callable[[Any, float | None, Cancellation | None], Any]


def make_server(
    service: Service,
    max_threads: int | None = None,
    *,
    metrics: Metrics = NO_METRICS,
    health: bool = False,
    profiler: bool = False,
    channel_arguments: Sequence[tuple[str, int | str]] = (),
) -> grpc.Server:
    """A gRPC server for a service, without a port yet.

    A thread per call under way measured faster than an event loop. Calls that wait for a batch
    have threads of their own on top.

    Args:
        service: answers the calls.
        max_threads: calls that run at a time; four per processor by default.
        metrics: is told of every answer.
        health: offer `grpc.health.v1`.
        profiler: offer TensorFlow's profiler service.
        channel_arguments: options of the gRPC server, which replace ours.
    """
    threads = max_threads or 4 * (os.cpu_count() or 1)
    if service.batches:
        threads += MAX_BATCHED_CALLS
    # Without so_reuseport=0, two servers could share a port, and its calls, unnoticed.
    options = {**dict(wire.CHANNEL_SIZE_OPTIONS), "grpc.so_reuseport": 0, **dict(channel_arguments)}
    server = grpc.server(
        ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
        options=list(options.items()),
        maximum_concurrent_rpcs=threads + MAX_QUEUED_CALLS,
    )
    methods: dict[str, tuple[Method, Any]] = {
        wire.PREDICT: (service.predict, wire.PredictRequest),
        wire.CLASSIFY: (service.classify, wire.ClassificationRequest),
        wire.REGRESS: (service.regress, wire.RegressionRequest),
        wire.MULTI_INFERENCE: (service.multi_inference, wire.MultiInferenceRequest),
        wire.GET_MODEL_METADATA: (service.get_model_metadata, wire.GetModelMetadataRequest),
        wire.GET_MODEL_STATUS: (service.get_model_status, wire.GetModelStatusRequest),
        wire.HANDLE_RELOAD_CONFIG: (service.handle_reload_config, wire.ReloadConfigRequest),
    }
    for path, (method, request) in methods.items():
        _, name, rpc = path.split("/")
        answer = _answer(method, request, metrics, _COUNTED.get(path))
        handlers = {rpc: grpc.unary_unary_rpc_method_handler(answer)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    services = [wire.PREDICTION_SERVICE, wire.MODEL_SERVICE]
    if health:
        standard_services.add_health(server)
        services.append(standard_services.HEALTH_SERVICE)
    standard_services.add_reflection(server, services)
    if profiler:
        server.add_generic_rpc_handlers((Profiler(),))
    return server


def _answer(
    method: Method, request_class: Any, metrics: Metrics, api: str | None
) -> Callable[[bytes, grpc.ServicerContext], bytes | None]:
    """From bytes to bytes: the only place where an exception becomes a status."""

    def answer(data: bytes, context: grpc.ServicerContext) -> bytes | None:
        start = time.monotonic()
        cancellation = Cancellation()
        if not context.add_callback(cancellation.cancel):
            cancellation.cancel()  # it has ended before it began
        code, text, request = 0, "", None
        try:
            request = request_class.FromString(data)
            result: bytes = method(
                request, _seconds_left(context), cancellation
            ).SerializeToString()
            return result
        except errors.ServingError as error:
            code, text = error.code, _shortened(error.message)
        except DecodeError:
            code, text = errors.Internal.code, "The request cannot be parsed."
        except Exception:
            logger.exception("A call failed in a way that should not be.")
            code, text = errors.Internal.code, "Internal error; see the log of the server."
        finally:
            if api is not None and request is not None:
                name = request.model_spec.name
                metrics.request(name, api, "GRPC", code, time.monotonic() - start)
        context.abort(_CODES[code], text)
        return None  # abort raises

    return answer


def _seconds_left(context: grpc.ServicerContext) -> float | None:
    left: float | None = context.time_remaining()
    return None if left is None or left > _A_YEAR else left


def _shortened(text: str) -> str:
    if len(text) <= MAX_ERROR_CHARACTERS:
        return text
    return text[:MAX_ERROR_CHARACTERS] + "...TRUNCATED"
