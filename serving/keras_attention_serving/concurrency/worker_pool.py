"""Threads for runs that take a while, and the refusal of those that would come too late."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from keras_attention_serving import errors
from keras_attention_serving.concurrency.cancellation import Cancellation

_WEIGHT = 0.1  # of the newest run in the mean of their times

_T = TypeVar("_T")


class Runs:
    """Runs in threads, for tasks of one event loop.

    Whoever asks for more than can be done fills a queue in which every request waits until it has
    hardly any time left, so that its run is begun and then in vain: a server that is busy and
    answers nobody. So a request that would wait too long is refused when it comes.

    Args:
        threads: how many runs may be under way.
        name: a name for the threads.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, name)
        self._lock = threading.Lock()
        self._seconds = 0.0  # that a run takes, the mean of the last ones
        # Waiting or under way. Those that were given up end as soon as they begin.
        self._present: dict[object, Cancellation | None] = {}

    def admit(self, timeout: float | None) -> None:
        """Raises `errors.ResourceExhausted` if a run cannot be expected to end within `timeout`."""
        with self._lock:
            ahead = sum(c is None or not c.cancelled for c in self._present.values())
            wait = ahead / self._threads * self._seconds
            seconds = self._seconds
        if timeout is not None and ahead >= self._threads and wait + seconds > timeout:
            raise errors.ResourceExhausted(
                f"The server is busy: a run would end in {wait + seconds:.2g} s, and there are "
                f"{timeout:.2g} s."
            )

    def run(
        self,
        function: Callable[..., _T],
        *arguments: object,
        cancellation: Cancellation | None = None,
    ) -> "asyncio.Future[_T]":
        """`function(*arguments)` in a thread; `cancellation` says whether it was given up."""
        key = object()
        with self._lock:
            self._present[key] = cancellation
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._pool, self._measured, key, function, *arguments)

    def close(self) -> None:
        """Begins no more runs."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _measured(self, key: object, function: Callable[..., _T], *arguments: object) -> _T:
        start = time.monotonic()
        try:
            return function(*arguments)
        finally:
            seconds = time.monotonic() - start
            with self._lock:
                del self._present[key]
                weight = _WEIGHT if self._seconds else 1.0
                self._seconds += weight * (seconds - self._seconds)
