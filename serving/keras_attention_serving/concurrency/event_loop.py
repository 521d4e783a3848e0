"""What tasks of an event loop need to work beside each other and beside threads."""

import asyncio
import collections
from collections.abc import Callable
from typing import Any, TypeVar

from keras_attention_serving.concurrency.cancellation import Cancellation

AT_ONCE = 128  # pieces of work, before the loop does something else
IDLE_TURNS = 10  # of the loop without a newcomer: nobody else is about to come

_T = TypeVar("_T")


class Together:
    """Does small pieces of work one right after the other instead of each when it comes.

    A request costs twice as much if gRPC's own work on other requests has driven code and data out
    of the processor's caches meanwhile; and requests that enter a queue together share a batch. So
    a piece of work waits until the loop has nothing else to do.

    Where more wait than are done in one go, those come first before which their connection has the
    fewest: so one with a few does not wait for the thousands of another.

    Args:
        afterwards: called when a number of pieces is done.
    """

    def __init__(self, afterwards: Callable[[], None] = lambda: None) -> None:
        self._loop = asyncio.get_running_loop()
        self._afterwards = afterwards
        self._waiting: list[tuple[asyncio.Future[Any], Callable[[], Any], str]] = []

    async def do(self, work: Callable[[], _T], connection: str = "") -> _T:
        """The result of `work()`, which somebody asks for over a connection."""
        future: asyncio.Future[_T] = self._loop.create_future()
        if not self._waiting:
            self._loop.call_soon(self._look, 0, 0)
        self._waiting.append((future, work, connection))
        return await future

    def _look(self, seen: int, idle_turns: int) -> None:
        count = len(self._waiting)
        if count > seen:
            self._loop.call_soon(self._look, count, 0)
        elif idle_turns < IDLE_TURNS:
            self._loop.call_soon(self._look, count, idle_turns + 1)
        else:
            waiting, self._waiting = self._waiting, []
            if len(waiting) > AT_ONCE:
                waiting = _in_turns(waiting)
                waiting, self._waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
                self._loop.call_soon(self._look, len(self._waiting), 0)
            for future, work, _ in waiting:
                _settle(future, work)
            self._afterwards()


async def to_the_end(future: "asyncio.Future[_T]", cancellation: Cancellation | None = None) -> _T:
    """Awaits work that cannot be stopped, also if the task is cancelled meanwhile.

    The task is cancelled after that, so that nothing the work uses is freed too early.

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
            future.exception()  # seen
        raise


def _in_turns(waiting: list[tuple[Any, Any, str]]) -> list[tuple[Any, Any, str]]:
    """The first piece of each connection, then the second of each, and so on."""
    counts: collections.Counter[str] = collections.Counter()
    ranks = []
    for _, _, connection in waiting:
        ranks.append(counts[connection])
        counts[connection] += 1
    return [waiting[i] for i in sorted(range(len(waiting)), key=ranks.__getitem__)]


def _settle(future: "asyncio.Future[Any]", work: Callable[[], Any]) -> None:
    if future.done():  # its task has been cancelled
        return
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)
