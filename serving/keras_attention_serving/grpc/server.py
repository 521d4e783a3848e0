"""The service over gRPC: an event loop in a thread, and threads for what would hold it up."""

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
import grpc.aio

from keras_attention_serving import errors
from keras_attention_serving.concurrency.event_loop import Together
from keras_attention_serving.concurrency.processors import processors
from keras_attention_serving.concurrency.worker_pool import Runs
from keras_attention_serving.grpc import health, standard_services
from keras_attention_serving.grpc.bounds import BODY_SECONDS, Bounds, Method
from keras_attention_serving.grpc.health import Health
from keras_attention_serving.grpc.methods import InferenceMethod, plain_method, waiting_method
from keras_attention_serving.grpc.profiler import Profiler
from keras_attention_serving.monitoring.metrics import NO_METRICS, Metrics
from keras_attention_serving.monitoring.request_log import RequestLog
from keras_attention_serving.open_inference import messages
from keras_attention_serving.protocol import wire
from keras_attention_serving.service import Service

logger = logging.getLogger(__name__)

MAX_CALLS = 1024
# Beyond its own limits gRPC cancels calls at random; ours, which says why, is to come before.
_PENDING = 1 << 20

_T = TypeVar("_T")


class GrpcServer:
    """Serves the RPCs of a service from `start` to `stop`.

    Calls are read and answered in one thread. So is a run of a model that is over in no time, and
    the preparation of every run; all other runs have threads of their own, where they do not hold
    the interpreter's lock. A thread per call, as in `grpc.server`, hands every call from thread to
    thread several times, which takes longer than a small model.

    Args:
        service: answers the calls.
        max_threads: how many runs, or batches, may be under way; four per processor by default.
        max_calls: how many calls may be under way, a quarter of them on one connection; then each
            connection has its part of them alone, and more are refused at once.
        body_seconds: how long the request of a call may take to come.
        metrics: is told of every answer.
        log: the same; by default, failures are logged.
        health: offer `grpc.health.v1`.
        health_follows_models: offer it, and have it say how the models are.
        profiler: offer TensorFlow's profiler service.
        channel_arguments: options of the gRPC server, which replace ours.
    """

    def __init__(
        self,
        service: Service,
        max_threads: int | None = None,
        *,
        max_calls: int = MAX_CALLS,
        body_seconds: float = BODY_SECONDS,
        metrics: Metrics = NO_METRICS,
        log: RequestLog | None = None,
        health: bool = False,
        health_follows_models: bool = False,
        profiler: bool = False,
        channel_arguments: Sequence[tuple[str, int | str]] = (),
    ) -> None:
        threads = max_threads or 4 * processors()
        self._service = service
        self._max_calls = max_calls
        self._body_seconds = body_seconds
        self._metrics = metrics
        self._log = log or RequestLog()
        self._runs = Runs(threads, "grpc-runs")
        # Apart from the runs, so that the state of a model can be asked however many there are.
        self._others = ThreadPoolExecutor(8, "grpc")
        self._reloads = ThreadPoolExecutor(4, "grpc-reloads")  # of which one waits for models
        self._stopping = threading.Lock()
        self._stopped = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="grpc", daemon=True)
        self._thread.start()
        # Without so_reuseport=0, two servers could share a port, and its calls, unnoticed.
        options = {
            **dict(wire.CHANNEL_SIZE_OPTIONS),
            "grpc.so_reuseport": 0,
            "grpc.server.max_pending_requests": _PENDING,
            "grpc.server.max_pending_requests_hard_limit": _PENDING,
            # So that no connection has all calls to itself; its further calls wait in the client.
            "grpc.max_concurrent_streams": max(1, max_calls // 4),
            "grpc.http.overload_protection": 0,  # which refuses calls at random, too
            **dict(channel_arguments),
        }
        self._health: Health | None = None
        if health or health_follows_models:
            self._health = self._make_health(health_follows_models)
        self._server = self._do(self._make(options, profiler))

    def listen(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Takes an address (`"host:port"`, `"unix:path"`); returns the port.

        Raises `RuntimeError` if it cannot be had.
        """

        async def add() -> int:
            if credentials is None:
                return int(self._server.add_insecure_port(address))
            return int(self._server.add_secure_port(address, credentials))

        return self._do(add())

    def start(self) -> None:
        """Begins to answer."""
        self._do(self._server.start())

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for the end of `stop`, or for so many seconds; whether the server still runs."""
        return not self._stopped.wait(timeout)

    def stop(self, grace: float | None = None) -> None:
        """Takes no more calls, and lets those under way finish for `grace` seconds.

        A second call does nothing.
        """
        with self._stopping:
            if self._stopped.is_set():
                return
            if self._health is not None:
                self._loop.call_soon_threadsafe(self._health.stop)
            self._do(self._server.stop(grace))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._runs.close()
            for pool in (self._others, self._reloads):
                pool.shutdown(wait=False, cancel_futures=True)
            self._stopped.set()

    def _make_health(self, follows_models: bool) -> Health:
        if not follows_models:
            return Health()
        following = Health(self._service.is_ready)

        def changed() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(following.changed)

        self._service.watch(changed)
        return following

    async def _make(self, options: dict[str, int | str], profiler: bool) -> Any:
        server = grpc.aio.server(self._others, options=list(options.items()))
        bounds = Bounds(self._max_calls, self._body_seconds, self._log)
        services = [wire.PREDICTION_SERVICE, wire.MODEL_SERVICE, messages.SERVICE]
        for path, method in self._methods().items():
            _, name, rpc = path.split("/")
            handlers = {rpc: bounds.unary(method, rpc)}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        if self._health is not None:
            self._health.add_to(server, bounds)
            services.append(health.SERVICE)
        standard_services.add_reflection(server, services, bounds)
        if profiler:
            server.add_generic_rpc_handlers((Profiler(),))
        server.add_generic_rpc_handlers((_Unknown(self._log),))  # asked last
        return server

    def _methods(self) -> dict[str, Method]:
        service = self._service
        together = Together(service.run_quick)
        found: dict[str, Method] = {}
        for path, api, request in (
            (wire.PREDICT, "Predict", wire.PredictRequest),
            (wire.CLASSIFY, "Classify", wire.ClassificationRequest),
            (wire.REGRESS, "Regress", wire.RegressionRequest),
            (wire.MULTI_INFERENCE, "MultiInference", wire.MultiInferenceRequest),
            (messages.MODEL_INFER, "ModelInfer", messages.ModelInferRequest),
        ):
            found[path] = InferenceMethod(
                service, api, request, together, self._runs, self._metrics, self._log
            ).answer
        for path, (plain, request_of_plain) in {
            wire.GET_MODEL_METADATA: (service.get_model_metadata, wire.GetModelMetadataRequest),
            wire.GET_MODEL_STATUS: (service.get_model_status, wire.GetModelStatusRequest),
            **service.models.methods(),
        }.items():
            name = path.split("/")[-1]
            found[path] = plain_method(plain, request_of_plain, name, self._log, self._others)
        found[wire.HANDLE_RELOAD_CONFIG] = waiting_method(
            service.handle_reload_config,
            wire.ReloadConfigRequest,
            "HandleReloadConfigRequest",
            self._log,
            self._reloads,
        )
        return found

    def _do(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Has the loop do something and waits for it."""
        future: concurrent.futures.Future[_T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result()


class _Unknown(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Notes calls of methods that there are not; gRPC answers them."""

    def __init__(self, log: RequestLog) -> None:
        self._log = log

    def service(self, details: grpc.HandlerCallDetails) -> None:
        error = errors.Unimplemented("Method not found!")
        self._log.finished("GRPC", details.method, "", 0.0, error)
