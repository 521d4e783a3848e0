"""RPC methods from bytes to bytes: the only place where an exception becomes a gRPC status.

Theory of operation
-------------------
The server has one event loop in one thread, and pools of worker threads. `bounds` reads the request
of a call in the loop and hands its bytes to an `InferenceMethod`, which takes one of four ways:

    inline    In the loop: parse, check against the signature, run, serialize. For runs that are
              known to take less time than handing them to a thread (`Model.is_quick`).
    thread    Parse and check in the loop; run and serialize in a thread.
    batch     Parse and check in the loop; wait in a queue of `batching`. The batch runs in a
              thread, or in the loop if it is quick: see `batching.scheduler`.
    whole     All of it in a thread, for requests that take long to parse: because they are large,
              or because their inputs are although the message is small (`claims`).

`_Exchange.start_inline` is the part in the loop of the first three; `PendingInference.result` goes
on with the second and third, and `_Exchange.run_blocking` is the fourth. `BurstCoalescer` calls
`start_inline` for all calls of a burst back to back; then it runs the batches that are due and
quick. Methods that run no model have pools of their own, so the state of a model can be asked for
however many runs wait.

Locks. Nothing here has one. What the loop and the threads share has its own: the versions of a
model, the batching scheduler, the worker pool. None is held while a model runs. An exchange is used
by one thread at a time, first the loop, then perhaps a worker.

Model versions. `Service.open` takes a handle of a version; the `with` block around its result gives
it back, in whatever thread. A version is unloaded only when no call holds a handle of it.

Deadlines. The time that is left for a call is read once, when its request has arrived. A call that
cannot be expected to end in time is refused before it waits for a thread (`WorkerPool.admit`). The
time that it waits is subtracted, and TensorFlow abandons a run that exceeds the rest. Inline runs
cannot be abandoned: they are known to be short.

Cancellation. gRPC cancels the task of a call whose client has left. Inline work has no `await`, so
it ends first. A request in a batching queue is withdrawn. A run in a thread cannot be interrupted
and uses memory of the request: `shielded` sets a `Cancellation`, which stops work that has not
begun, and waits for the rest before the task ends. Such calls are counted and logged as CANCELLED.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from keras_attention_serving import errors
from keras_attention_serving.concurrency.cancellation import Cancellation
from keras_attention_serving.concurrency.event_loop import BurstCoalescer, shielded
from keras_attention_serving.concurrency.worker_pool import WorkerPool
from keras_attention_serving.monitoring.metrics import Metrics
from keras_attention_serving.monitoring.request_log import RequestLog
from keras_attention_serving.protocol import claims, wire
from keras_attention_serving.service import PendingInference, Service

MAX_ERROR_CHARACTERS = 1024
LARGE = 1 << 18  # bytes of a request that takes long to parse
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_COUNTED = {"Predict", "Classify", "Regress", "ModelInfer"}
_A_YEAR = 3e7


class InferenceMethod:
    """A method that runs a model, for `grpc.aio`: a coroutine function of bytes and a context.

    Args:
        service: prepares the inferences.
        api: name of the method, see `Service.open`.
        request_class: its request message.
        coalescer: runs what is done in the event loop.
        workers: threads for everything else.
        metrics: is told of every response.
        log: is told of every response.
    """

    def __init__(
        self,
        service: Service,
        api: str,
        request_class: Any,
        coalescer: BurstCoalescer,
        workers: WorkerPool,
        metrics: Metrics,
        log: RequestLog,
    ) -> None:
        self._service = service
        self._api = api
        self._request_class = request_class
        self._coalescer = coalescer
        self._workers = workers
        self._metrics = metrics
        self._log = log

    async def __call__(self, data: bytes, context: Any) -> bytes:
        exchange = _Exchange(self._service, self._api, self._request_class, data, context)

        def report(seconds: float, failure: errors.ServingError | None) -> None:
            name = _model_name(exchange.request)
            if self._api in _COUNTED and exchange.request is not None:
                code = failure.code if failure else 0
                self._metrics.request(name, self._api, "GRPC", code, seconds)
            self._log.finished("GRPC", self._api, name, seconds, failure)

        return await _finished(self._response(exchange, context.peer()), context, report)

    async def _response(self, exchange: "_Exchange", connection: str) -> bytes:
        if exchange.size <= LARGE:
            started = await self._coalescer.run(exchange.start_inline, connection)
            if isinstance(started, bytes):
                return started
            if started is not None:
                with started as pending:
                    return await pending.result(exchange.timeout, self._workers)
        self._workers.admit(exchange.timeout)
        cancellation = Cancellation()
        run = self._workers.run(exchange.run_blocking, cancellation, cancellation=cancellation)
        return await shielded(run, cancellation)


class _Exchange:
    """One request and its response.

    Attributes:
        size: bytes of the request.
        timeout: seconds that were left for it when it came; None for no limit.
        request: the message, once it has been parsed.
    """

    __slots__ = (
        "_api",
        "_arrived",
        "_data",
        "_request_class",
        "_service",
        "request",
        "size",
        "timeout",
    )

    def __init__(
        self, service: Service, api: str, request_class: Any, data: bytes, context: Any
    ) -> None:
        self._service = service
        self._api = api
        self._request_class = request_class
        self._data = data
        self._arrived = time.monotonic()
        self.size = len(data)
        self.timeout = _seconds_left(context)
        self.request: Any = None

    def start_inline(self) -> bytes | PendingInference | None:
        """Runs the request inline if its run is known to be quick, and returns the response.

        Otherwise returns the `PendingInference` to await, or None if the inputs are large although
        the message is small, so that `run_blocking` must be called in a thread.
        """
        self.request = self._request_class.FromString(self._data)
        if claims.claimed_bytes(self.request) > LARGE:
            return None
        pending = self._service.open(self._api, self.request)
        try:
            if not pending.enqueue(self.timeout):
                return pending
            response: bytes = pending.run(self.timeout).SerializeToString()
        except BaseException:
            pending.__exit__()
            raise
        pending.__exit__()
        return response

    def run_blocking(self, cancellation: Cancellation) -> bytes:
        """Does all of it in a thread that may wait."""
        if self.request is None:
            self.request = self._request_class.FromString(self._data)
        with self._service.open(self._api, self.request) as pending:
            timeout = self.timeout
            if timeout is not None:
                timeout -= time.monotonic() - self._arrived  # it has waited for a thread
            response: bytes = pending.run(timeout, cancellation).SerializeToString()
            return response


def plain_method(
    method: Callable[[Any], Any], request_class: Any, name: str, log: RequestLog, pool: Executor
) -> Callable[[bytes, Any], Awaitable[bytes]]:
    """A method that runs no model and waits for nothing, in threads of `pool`."""
    return waiting_method(lambda request, *_: method(request), request_class, name, log, pool)


def waiting_method(
    method: Callable[[Any, float | None, Cancellation], Any],
    request_class: Any,
    name: str,
    log: RequestLog,
    pool: Executor,
) -> Callable[[bytes, Any], Awaitable[bytes]]:
    """A method that runs no model, in threads of `pool`; it may wait while its client stays."""

    async def respond(data: bytes, context: Any) -> bytes:
        timeout, cancellation = _seconds_left(context), Cancellation()
        request = None

        def work() -> bytes:
            nonlocal request
            request = request_class.FromString(data)
            response: bytes = method(request, timeout, cancellation).SerializeToString()
            return response

        def report(seconds: float, failure: errors.ServingError | None) -> None:
            log.finished("GRPC", name, _model_name(request), seconds, failure)

        future = asyncio.get_running_loop().run_in_executor(pool, work)
        return await _finished(shielded(future, cancellation), context, report)

    return respond


async def _finished(
    response: Awaitable[bytes],
    context: Any,
    report: Callable[[float, errors.ServingError | None], None],
) -> bytes:
    """Awaits a response, or ends the call with the status of its error; reports either."""
    start = time.monotonic()
    failure: errors.ServingError | None = None
    try:
        return await response
    except Exception as error:
        failure = _failure(error)
    except BaseException:  # the task has been cancelled
        failure = errors.Cancelled("The client has left.")
        raise
    finally:
        report(time.monotonic() - start, failure)
    await context.abort(_CODES[failure.code], _text(failure), _metadata(failure))
    raise AssertionError("Expected abort to raise.")


def _model_name(request: Any) -> str:
    """The name of the model that a request names; empty if there is none, or no request."""
    fields = request.DESCRIPTOR.fields_by_name if request is not None else {}
    if "tasks" in fields:
        return str(request.tasks[0].model_spec.name) if request.tasks else ""
    if "model_spec" in fields:
        return str(request.model_spec.name)
    name = next((name for name in ("model_name", "name") if name in fields), None)
    return str(getattr(request, name)) if name else ""


def _failure(error: Exception) -> errors.ServingError:
    """The error that the client gets for an exception: no internals, but a cause for the log."""
    if isinstance(error, errors.ServingError):
        return error
    if isinstance(error, MemoryError):
        return errors.ResourceExhausted("No memory for the request or its answer.")
    if isinstance(error, DecodeError):
        return errors.Internal("The request cannot be parsed.")
    failure = errors.Internal("Internal error; see the log of the server.")
    failure.__cause__ = error
    return failure


def _text(failure: errors.ServingError) -> str:
    if len(failure.message) > MAX_ERROR_CHARACTERS:
        return failure.message[:MAX_ERROR_CHARACTERS] + "...TRUNCATED"
    return failure.message


def _metadata(failure: errors.ServingError) -> tuple[tuple[str, str], ...]:
    return (wire.NO_RETRY,) if failure.final else ()


def _seconds_left(context: Any) -> float | None:
    seconds: float | None = context.time_remaining()
    return None if seconds is None or seconds > _A_YEAR else seconds
