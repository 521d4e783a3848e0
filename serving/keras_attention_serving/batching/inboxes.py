"""Inboxes of the callers of a batching queue: threads, or tasks of an event loop."""

import asyncio
import threading
from collections import deque
from queue import Empty, SimpleQueue

from keras_attention_serving.batching.queue import Batch


class ThreadInbox:
    """Inbox of a caller that has a thread to sleep in."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Batch | None] = SimpleQueue()

    def put(self, batch: Batch | None) -> None:
        self._queue.put(batch)

    def get(self, seconds: float | None) -> Batch | None:
        """Removes and returns the oldest item; None after so many seconds without one."""
        try:
            return self._queue.get(timeout=seconds)
        except Empty:
            return None

    def remaining_batches(self) -> list[Batch]:
        """The batches that were delivered and not taken."""
        items = []
        while not self._queue.empty():
            items.append(self._queue.get())
        return [batch for batch in items if batch is not None]


class LoopInbox:
    """Inbox of a task of the running event loop; only `put` may be called from other threads."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._items: deque[Batch | None] = deque()
        self._sleeper: asyncio.Future[None] | None = None

    def put(self, batch: Batch | None) -> None:
        self._items.append(batch)
        if threading.get_ident() == self._thread:
            self._wake()
        else:
            self._loop.call_soon_threadsafe(self._wake)

    async def get(self, seconds: float | None) -> Batch | None:
        """Removes and returns the oldest item; None after so many seconds without one."""
        if not self._items:
            self._sleeper = self._loop.create_future()
            timer = None if seconds is None else self._loop.call_later(seconds, self._wake)
            try:
                await self._sleeper
            finally:
                self._sleeper = None
                if timer is not None:
                    timer.cancel()
        return self._items.popleft() if self._items else None

    def remaining_batches(self) -> list[Batch]:
        """The batches that were delivered and not taken."""
        return [batch for batch in self._items if batch is not None]

    def _wake(self) -> None:
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)
