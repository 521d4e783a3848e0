"""Scheduling helpers for coroutines of an event loop that works beside threads."""

import asyncio
import collections
from collections.abc import Callable
from typing import Any, TypeVar

from keras_attention_serving.concurrency.cancellation import Cancellation

MAX_BURST = 128  # callables that are run before the loop does anything else
IDLE_TURNS = 10  # turns of the loop without a newcomer, after which nobody is about to come

_T = TypeVar("_T")
_Waiting = tuple["asyncio.Future[Any]", Callable[[], Any], str]  # result, function, connection


class BurstCoalescer:
    """Runs callables that arrive in one burst back to back, once the event loop is idle.

    Interleaving requests with gRPC's own work evicts code and data from the processor's caches and
    doubles the cost of a request. Requests that are queued together can also share a batch. So each
    callable waits until the loop has had `IDLE_TURNS` turns without a newcomer.

    If more than `MAX_BURST` wait, connections take turns, so that a connection with few requests
    does not wait for the thousands of another.

    Args:
        on_burst_done: called after each burst, for example to run batches that have become due.
    """

    def __init__(self, on_burst_done: Callable[[], None] = lambda: None) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_burst_done = on_burst_done
        self._waiting: list[_Waiting] = []

    async def run(self, function: Callable[[], _T], connection: str = "") -> _T:
        """Returns `function()`, called at the end of the current burst.

        Args:
            function: is called in the event loop's thread.
            connection: the connection that asks for it; connections take turns.
        """
        result: asyncio.Future[_T] = self._loop.create_future()
        if not self._waiting:
            self._loop.call_soon(self._run_if_idle, 0, 0)
        self._waiting.append((result, function, connection))
        return await result

    def _run_if_idle(self, last_count: int, idle_turns: int) -> None:
        count = len(self._waiting)
        if count > last_count:
            self._loop.call_soon(self._run_if_idle, count, 0)
        elif idle_turns < IDLE_TURNS:
            self._loop.call_soon(self._run_if_idle, count, idle_turns + 1)
        else:
            self._run_burst()

    def _run_burst(self) -> None:
        burst, self._waiting = self._waiting, []
        if len(burst) > MAX_BURST:
            burst = _in_turns(burst)
            burst, self._waiting = burst[:MAX_BURST], burst[MAX_BURST:]
            self._loop.call_soon(self._run_if_idle, len(self._waiting), 0)
        for result, function, _ in burst:
            _set_result(result, function)
        self._on_burst_done()


async def shielded(future: "asyncio.Future[_T]", cancellation: Cancellation | None = None) -> _T:
    """Awaits `future` to its end even if the awaiting task is cancelled, then re-raises.

    For work that cannot be interrupted and uses memory of its caller: nothing may be freed earlier.

    Args:
        future: the work.
        cancellation: told at once, for work that has not begun yet.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if cancellation is not None:
            cancellation.cancel()
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:
                continue
        if not future.cancelled():
            future.exception()  # retrieved, so that asyncio does not log it
        raise


def _in_turns(waiting: list[_Waiting]) -> list[_Waiting]:
    """Orders callables by turns: the first of each connection, then the second of each, ..."""
    counts: collections.Counter[str] = collections.Counter()
    ranks = []
    for _, _, connection in waiting:
        ranks.append(counts[connection])
        counts[connection] += 1
    return [waiting[i] for i in sorted(range(len(waiting)), key=ranks.__getitem__)]


def _set_result(result: "asyncio.Future[Any]", function: Callable[[], Any]) -> None:
    if result.done():  # the task that asked for it has been cancelled
        return
    try:
        result.set_result(function())
    except Exception as error:
        result.set_exception(error)
