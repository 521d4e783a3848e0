"""RPC methods from bytes to bytes: the only place where an exception becomes a status."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from keras_attention_serving import errors
from keras_attention_serving.concurrency.cancellation import Cancellation
from keras_attention_serving.concurrency.event_loop import Together, to_the_end
from keras_attention_serving.concurrency.worker_pool import Runs
from keras_attention_serving.monitoring.metrics import Metrics
from keras_attention_serving.monitoring.request_log import RequestLog
from keras_attention_serving.protocol import claims, wire
from keras_attention_serving.service import Call, Service

MAX_ERROR_CHARACTERS = 1024
LARGE = 1 << 18  # bytes of a request that takes long to read
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_COUNTED = {"Predict", "Classify", "Regress", "ModelInfer"}
_A_YEAR = 3e7


class InferenceMethod:
    """A method that runs a model, for `grpc.aio`.

    Args:
        service: opens the calls.
        api: name of the method, see `Service.open`.
        request_class: its request message.
        together: where calls meet.
        runs: where runs that take a while are.
        metrics: is told of every answer.
        log: the same.
    """

    def __init__(
        self,
        service: Service,
        api: str,
        request_class: Any,
        together: Together,
        runs: Runs,
        metrics: Metrics,
        log: RequestLog,
    ) -> None:
        self._service = service
        self._api = api
        self._request_class = request_class
        self._together = together
        self._runs = runs
        self._metrics = metrics
        self._log = log

    async def answer(self, data: bytes, context: Any) -> bytes:
        start = time.monotonic()
        exchange = _Exchange(self._service, self._api, self._request_class, data, context)
        failure: errors.ServingError | None = errors.Cancelled("The client has left.")
        try:
            answer = await self._answer(exchange, context.peer())
            failure = None
            return answer
        except Exception as error:
            failure = _failure(error)
        finally:
            seconds = time.monotonic() - start
            if self._api in _COUNTED and exchange.request is not None:
                name, code = _model(exchange.request), failure.code if failure else 0
                self._metrics.request(name, self._api, "GRPC", code, seconds)
            self._log.finished("GRPC", self._api, _model(exchange.request), seconds, failure)
        await context.abort(_CODES[failure.code], _text(failure), _metadata(failure))
        raise AssertionError("Expected abort to raise.")

    async def _answer(self, exchange: "_Exchange", connection: str) -> bytes:
        if exchange.size <= LARGE:
            begun = await self._together.do(exchange.begin, connection)
            if isinstance(begun, bytes):
                return begun
            if begun is not None:
                with begun as call:
                    return await call.wait(exchange.timeout, self._runs)
        self._runs.admit(exchange.timeout)
        cancellation = Cancellation()
        run = self._runs.run(exchange.whole, cancellation, cancellation=cancellation)
        return await to_the_end(run, cancellation)


class _Exchange:
    """One request and its answer.

    Attributes:
        size: bytes of the request.
        timeout: seconds that were left for it when it came; None for no limit.
        request: the message, once it has been read.
    """

    __slots__ = ("_api", "_data", "_request_class", "_service", "request", "size", "timeout")

    def __init__(
        self, service: Service, api: str, request_class: Any, data: bytes, context: Any
    ) -> None:
        self._service = service
        self._api = api
        self._request_class = request_class
        self._data = data
        self.size = len(data)
        self.timeout = _seconds_left(context)
        self.request: Any = None

    def begin(self) -> bytes | Call | None:
        """The answer, if it is there in next to no time, else the call to wait for.

        None if the inputs are large although the message is not, so that they take long to read.
        """
        self.request = self._request_class.FromString(self._data)
        if claims.claimed_bytes(self.request) > LARGE:
            return None
        call = self._service.open(self._api, self.request)
        try:
            if not call.enter(self.timeout):
                return call
            answer: bytes = call.answer(self.timeout).SerializeToString()
        except BaseException:
            call.__exit__()
            raise
        call.__exit__()
        return answer

    def whole(self, cancellation: Cancellation) -> bytes:
        """The answer, in a thread that may wait for it."""
        if self.request is None:
            self.request = self._request_class.FromString(self._data)
        with self._service.open(self._api, self.request) as call:
            answer: bytes = call.answer(self.timeout, cancellation).SerializeToString()
            return answer


def plain_method(
    method: Callable[[Any, float | None], Any],
    request_class: Any,
    name: str,
    log: RequestLog,
    pool: Executor,
) -> Callable[[bytes, Any], Awaitable[bytes]]:
    """A method that runs no model and waits for nothing, in threads of `pool`."""
    return waiting_method(
        lambda request, timeout, _: method(request, timeout), request_class, name, log, pool
    )


def waiting_method(
    method: Callable[[Any, float | None, Cancellation], Any],
    request_class: Any,
    name: str,
    log: RequestLog,
    pool: Executor,
) -> Callable[[bytes, Any], Awaitable[bytes]]:
    """A method that runs no model, in threads of `pool`; it may wait while its caller stays."""

    async def answer(data: bytes, context: Any) -> bytes:
        timeout, cancellation = _seconds_left(context), Cancellation()

        request = None

        def work() -> bytes:
            nonlocal request
            request = request_class.FromString(data)
            result: bytes = method(request, timeout, cancellation).SerializeToString()
            return result

        start = time.monotonic()
        failure: errors.ServingError | None = errors.Cancelled("The client has left.")
        try:
            future = asyncio.get_running_loop().run_in_executor(pool, work)
            result = await to_the_end(future, cancellation)
            failure = None
            return result
        except Exception as error:
            failure = _failure(error)
        finally:
            log.finished("GRPC", name, _model(request), time.monotonic() - start, failure)
        await context.abort(_CODES[failure.code], _text(failure), _metadata(failure))
        raise AssertionError("Expected abort to raise.")

    return answer


def _model(request: Any) -> str:
    """The name of the model that a request asks for, if it could be read and names one."""
    fields = request.DESCRIPTOR.fields_by_name if request is not None else {}
    if "tasks" in fields:
        return str(request.tasks[0].model_spec.name) if request.tasks else ""
    if "model_spec" in fields:
        return str(request.model_spec.name)
    name = next((name for name in ("model_name", "name") if name in fields), None)
    return str(getattr(request, name)) if name else ""


def _failure(error: Exception) -> errors.ServingError:
    """The answer to an exception; nothing of the inside is in it, but its cause for the log."""
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
    left: float | None = context.time_remaining()
    return None if left is None or left > _A_YEAR else left
