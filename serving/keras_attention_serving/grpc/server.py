"""The service over gRPC: an event loop in one thread, and threads for work that would block it."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
import grpc.aio

from keras_attention_serving import errors
from keras_attention_serving.concurrency.event_loop import BurstCoalescer
from keras_attention_serving.concurrency.processors import processors
from keras_attention_serving.concurrency.worker_pool import WorkerPool
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
# Beyond this limit gRPC cancels calls at random. `Bounds` refuses them earlier, and says why.
_PENDING = 1 << 20

_T = TypeVar("_T")


class GrpcServer:
    """Serves the RPCs of a service from `start` to `stop`.

    Requests are read and responses are written in one thread. So are quick runs of a model and the
    preparation of every run; all other runs have worker threads, where they do not hold the
    interpreter's lock: see `methods`. A thread per call, as in `grpc.server`, would hand every call
    from thread to thread several times, which takes longer than a small model.

    Args:
        service: the methods.
        max_threads: number of runs, or batches, at a time; four per processor by default.
        max_calls: number of calls at a time. Beyond it each connection has its share of them, and
            more are refused at once.
        max_calls_per_connection: the calls beyond this wait in the client; a quarter of all by
            default. gRPC takes calls in the order of their arrival, so that a call of another
            connection comes after all of these.
        body_seconds: the longest time that the request of a call may take to arrive.
        metrics: is told of every response.
        log: is told of every response; by default, failures are logged.
        health: offer `grpc.health.v1`.
        health_follows_models: offer it, with the state of the models.
        profiler: offer TensorFlow's profiler service.
        channel_arguments: options of the gRPC server, which override ours.
    """

    def __init__(
        self,
        service: Service,
        max_threads: int | None = None,
        *,
        max_calls: int = MAX_CALLS,
        max_calls_per_connection: int | None = None,
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
        self._workers = WorkerPool(threads, "grpc-runs")
        # Apart from the runs, so that the state of a model can be asked for however many there are.
        self._others = ThreadPoolExecutor(8, "grpc")
        self._reloads = ThreadPoolExecutor(4, "grpc-reloads")  # only one of them waits for models
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
            "grpc.max_concurrent_streams": max_calls_per_connection or max(1, max_calls // 4),
            "grpc.http.overload_protection": 0,  # it would refuse calls at random, too
            **dict(channel_arguments),
        }
        self._health: Health | None = None
        if health or health_follows_models:
            self._health = self._make_health(health_follows_models)
        self._server = self._run(self._make(options, profiler))

    def listen(self, address: str, credentials: grpc.ServerCredentials | None = None) -> int:
        """Binds an address (`"host:port"`, `"unix:path"`); returns the port.

        Raises `RuntimeError` if that fails.
        """

        async def add() -> int:
            if credentials is None:
                return int(self._server.add_insecure_port(address))
            return int(self._server.add_secure_port(address, credentials))

        return self._run(add())

    def start(self) -> None:
        """Begins to accept calls."""
        self._run(self._server.start())

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for the end of `stop`, or for so many seconds; returns True if it still runs."""
        return not self._stopped.wait(timeout)

    def stop(self, grace: float | None = None) -> None:
        """Accepts no more calls, and lets those under way finish for `grace` seconds.

        A second call does nothing.
        """
        with self._stopping:
            if self._stopped.is_set():
                return
            if self._health is not None:
                self._loop.call_soon_threadsafe(self._health.stop)
            self._run(self._server.stop(grace))
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._workers.close()
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
        coalescer = BurstCoalescer(service.run_quick)
        methods: dict[str, Method] = {
            wire.HANDLE_RELOAD_CONFIG: waiting_method(
                service.handle_reload_config,
                wire.ReloadConfigRequest,
                "HandleReloadConfigRequest",
                self._log,
                self._reloads,
            )
        }
        for path, api, request_class in (
            (wire.PREDICT, "Predict", wire.PredictRequest),
            (wire.CLASSIFY, "Classify", wire.ClassificationRequest),
            (wire.REGRESS, "Regress", wire.RegressionRequest),
            (wire.MULTI_INFERENCE, "MultiInference", wire.MultiInferenceRequest),
            (messages.MODEL_INFER, "ModelInfer", messages.ModelInferRequest),
        ):
            methods[path] = InferenceMethod(
                service, api, request_class, coalescer, self._workers, self._metrics, self._log
            )
        plain: list[tuple[str, Callable[[Any], Any], Any]] = [
            (wire.GET_MODEL_METADATA, service.get_model_metadata, wire.GetModelMetadataRequest),
            (wire.GET_MODEL_STATUS, service.get_model_status, wire.GetModelStatusRequest),
            *service.models.methods(),
        ]
        for path, method, request_class in plain:
            name = path.split("/")[-1]
            methods[path] = plain_method(method, request_class, name, self._log, self._others)
        return methods

    def _run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Runs a coroutine in the event loop and waits for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


class _Unknown(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Logs calls of unknown methods, to which gRPC responds itself."""

    def __init__(self, log: RequestLog) -> None:
        self._log = log

    def service(self, details: grpc.HandlerCallDetails) -> None:
        error = errors.Unimplemented("Method not found!")
        self._log.finished("GRPC", details.method, "", 0.0, error)
