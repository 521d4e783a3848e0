"""Bounds on gRPC calls: on their number, and on the time that a request may take to arrive.

A call counts from its headers on, so that calls without a body hold no more places than others.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from keras_attention_serving import errors
from keras_attention_serving.monitoring.request_log import RequestLog

# gRPC delivers only whole messages, so a large one on a slow line needs that long.
BODY_SECONDS = 60.0

Method = Callable[[bytes, Any], Awaitable[Any]]
Stream = Callable[[AsyncIterator[Any], Any], AsyncIterator[Any]]


class Bounds:
    """Admission of calls, and handlers for `grpc.aio` that apply it.

    Once all places are taken, each connection gets only its share of them, at least one. So a
    client with few calls is admitted however many another client has, over however many
    connections.

    Args:
        max_calls: number of calls that may be under way before connections get shares.
        body_seconds: the longest time between the headers of a call and its request.
        log: is told of refused calls, with the names of their methods; by default, they are logged.
    """

    def __init__(
        self,
        max_calls: int,
        body_seconds: float = BODY_SECONDS,
        log: RequestLog | None = None,
    ) -> None:
        self._log = log or RequestLog()
        self._max_calls = max_calls
        self._body_seconds = body_seconds
        self._loop = asyncio.get_running_loop()
        self._total = 0
        self._by_connection: dict[str, int] = {}  # only connections that have calls
        # Tasks that wait for a request, in order, and the times until which they wait.
        self._waiting: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def unary(self, method: Method, name: str = "") -> grpc.RpcMethodHandler:
        """A handler of one request and one response.

        It is declared as one for a stream of requests: for a single one, gRPC would itself wait for
        the request, without a limit, before it calls the handler.
        """

        async def handle(_: AsyncIterator[bytes], context: Any) -> Any:
            connection = await self._enter(context, name)
            try:
                return await method(await self._request(context, name), context)
            finally:
                self._leave(connection)

        return grpc.stream_unary_rpc_method_handler(handle)

    def watching(self, method: Method, name: str = "", **coding: Any) -> grpc.RpcMethodHandler:
        """A handler of one request, whose method writes the responses itself, coded by `coding`."""

        async def handle(_: AsyncIterator[bytes], context: Any) -> None:
            connection = await self._enter(context, name)
            try:
                await method(await self._request(context, name), context)
            finally:
                self._leave(connection)

        return grpc.stream_stream_rpc_method_handler(handle, **coding)

    def stream(self, method: Stream, name: str = "", **coding: Any) -> grpc.RpcMethodHandler:
        """A handler of any number of requests and responses, coded by `coding`."""

        async def handle(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            connection = await self._enter(context, name)
            try:
                async for response in method(requests, context):
                    yield response
            finally:
                self._leave(connection)

        return grpc.stream_stream_rpc_method_handler(handle, **coding)

    async def _enter(self, context: Any, name: str) -> str:
        """Takes a place for a call and returns its connection, or ends the call."""
        connection: str = context.peer()
        count = self._by_connection.get(connection, 0)
        if self._total >= self._max_calls:
            connections = len(self._by_connection) + (not count)
            if count >= max(1, self._max_calls // connections):
                text = f"The server is busy: {self._total} calls are under way (--grpc_max_calls)."
                self._log.finished("GRPC", name, "", 0.0, errors.ResourceExhausted(text))
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, text)
        self._total += 1
        self._by_connection[connection] = count + 1
        return connection

    def _leave(self, connection: str) -> None:
        self._total -= 1
        self._by_connection[connection] -= 1
        if not self._by_connection[connection]:
            del self._by_connection[connection]

    async def _request(self, context: Any, name: str) -> bytes:
        """Reads the request of a call; ends the call if it does not arrive in time."""
        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]
        self._waiting[task] = self._loop.time() + self._body_seconds
        if self._timer is None:
            self._timer = self._loop.call_later(self._body_seconds, self._end_late)
        try:
            data = await context.read()
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            data = grpc.aio.EOF
        finally:
            self._waiting.pop(task, None)
        if data is grpc.aio.EOF:
            code = grpc.StatusCode.INTERNAL
            error: errors.ServingError = errors.Internal("Expected a request.")
            if task in self._late:
                self._late.discard(task)
                code = grpc.StatusCode.DEADLINE_EXCEEDED
                text = f"The request did not come within {self._body_seconds:g} s."
                error = errors.DeadlineExceeded(text)
            self._log.finished("GRPC", name, "", 0.0, error)
            await context.abort(code, error.message)
        result: bytes = data
        return result

    def _end_late(self) -> None:
        """Ends the calls whose requests are late; sets the timer for the next one."""
        now = self._loop.time()
        while self._waiting:
            task, until = next(iter(self._waiting.items()))
            if until > now:
                self._timer = self._loop.call_at(until, self._end_late)
                return
            del self._waiting[task]
            self._late.add(task)
            task.cancel()
        self._timer = None
