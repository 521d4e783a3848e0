"""A thread pool that refuses work which would end too late."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from keras_attention_serving import errors
from keras_attention_serving.concurrency.cancellation import Cancellation

_WEIGHT = 0.1  # of the newest run in the moving average of run times

_T = TypeVar("_T")


class WorkerPool:
    """Thread pool with admission control, for tasks of one event loop.

    Clients that ask for more than the server can do fill a queue in which every request waits until
    hardly any time is left for it; its run is then begun in vain, and a busy server answers nobody.
    So `admit` refuses a request on arrival if it would wait too long.

    Args:
        threads: number of functions that may run at a time.
        name: prefix of the threads' names.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, name)
        self._lock = threading.Lock()
        self._seconds = 0.0  # moving average of the time of a run
        # Functions that wait or run. Those that were given up end as soon as they begin.
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
        """Calls `function(*arguments)` in a thread.

        Args:
            function: the function.
            arguments: its arguments.
            cancellation: set when it is given up; it does not count as work ahead any more then.
        """
        key = object()
        with self._lock:
            self._present[key] = cancellation
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._pool, self._timed, key, function, *arguments)

    def close(self) -> None:
        """Begins no more runs."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _timed(self, key: object, function: Callable[..., _T], *arguments: object) -> _T:
        start = time.monotonic()
        try:
            return function(*arguments)
        finally:
            seconds = time.monotonic() - start
            with self._lock:
                del self._present[key]
                weight = _WEIGHT if self._seconds else 1.0
                self._seconds += weight * (seconds - self._seconds)
