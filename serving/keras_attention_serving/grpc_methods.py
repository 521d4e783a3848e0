"""RPC methods from bytes to bytes: the only place where an exception becomes a status."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from keras_attention_serving import claims, errors
from keras_attention_serving.cancellation import Cancellation
from keras_attention_serving.loop_tasks import Together, to_the_end
from keras_attention_serving.metrics import Metrics
from keras_attention_serving.runs import Runs
from keras_attention_serving.service import Call, Service

logger = logging.getLogger(__name__)

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
    """

    def __init__(
        self,
        service: Service,
        api: str,
        request_class: Any,
        together: Together,
        runs: Runs,
        metrics: Metrics,
    ) -> None:
        self._service = service
        self._api = api
        self._request_class = request_class
        self._together = together
        self._runs = runs
        self._metrics = metrics

    async def answer(self, data: bytes, context: Any) -> bytes:
        start = time.monotonic()
        exchange = _Exchange(self._service, self._api, self._request_class, data, context)
        code, text = errors.Cancelled.code, ""
        try:
            answer = await self._answer(exchange)
            code = 0
            return answer
        except Exception as error:
            code, text = _status(error)
        finally:
            if self._api in _COUNTED and exchange.request is not None:
                name, seconds = _model_name(exchange.request), time.monotonic() - start
                self._metrics.request(name, self._api, "GRPC", code, seconds)
        await context.abort(_CODES[code], text)
        raise AssertionError("Expected abort to raise.")

    async def _answer(self, exchange: "_Exchange") -> bytes:
        if exchange.size <= LARGE:
            begun = await self._together.do(exchange.begin)
            if isinstance(begun, bytes):
                return begun
            if begun is not None:
                with begun as call:
                    return await call.wait(exchange.timeout, self._runs)
        self._runs.admit(exchange.timeout)
        cancellation = Cancellation()
        return await to_the_end(self._runs.run(exchange.whole, cancellation), cancellation)


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
    method: Callable[[Any, float | None], Any], request_class: Any, pool: Executor
) -> Callable[[bytes, Any], Awaitable[bytes]]:
    """A method that runs no model and waits for nothing, in threads of `pool`."""
    return waiting_method(lambda request, timeout, _: method(request, timeout), request_class, pool)


def waiting_method(
    method: Callable[[Any, float | None, Cancellation], Any], request_class: Any, pool: Executor
) -> Callable[[bytes, Any], Awaitable[bytes]]:
    """A method that runs no model, in threads of `pool`; it may wait while its caller stays."""

    async def answer(data: bytes, context: Any) -> bytes:
        timeout, cancellation = _seconds_left(context), Cancellation()

        def work() -> bytes:
            response = method(request_class.FromString(data), timeout, cancellation)
            result: bytes = response.SerializeToString()
            return result

        try:
            future = asyncio.get_running_loop().run_in_executor(pool, work)
            return await to_the_end(future, cancellation)
        except Exception as error:
            code, text = _status(error)
        await context.abort(_CODES[code], text)
        raise AssertionError("Expected abort to raise.")

    return answer


def _model_name(request: Any) -> str:
    has_spec = "model_spec" in request.DESCRIPTOR.fields_by_name
    name: str = request.model_spec.name if has_spec else request.model_name
    return name


def _status(error: Exception) -> tuple[int, str]:
    """Code and text for an exception; nothing of the inside is in it."""
    if isinstance(error, errors.ServingError):
        text = error.message
        if len(text) > MAX_ERROR_CHARACTERS:
            text = text[:MAX_ERROR_CHARACTERS] + "...TRUNCATED"
        return error.code, text
    if isinstance(error, MemoryError):
        return errors.ResourceExhausted.code, "No memory for the request or its answer."
    if isinstance(error, DecodeError):
        return errors.Internal.code, "The request cannot be parsed."
    logger.error("A call failed in a way that should not be.", exc_info=error)
    return errors.Internal.code, "Internal error; see the log of the server."


def _seconds_left(context: Any) -> float | None:
    left: float | None = context.time_remaining()
    return None if left is None or left > _A_YEAR else left
