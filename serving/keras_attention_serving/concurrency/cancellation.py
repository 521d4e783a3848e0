"""Cancellation of work whose client has left."""

import threading
from collections.abc import Callable


class Cancellation:
    """Flag that a transport sets when a client has left, for the work on its request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._watcher: Callable[[], None] | None = None

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        """Sets the flag and calls the watcher, if there is one. Later calls do nothing."""
        with self._lock:
            watcher = None if self._cancelled else self._watcher
            self._cancelled = True
        if watcher is not None:
            watcher()

    def watch(self, watcher: Callable[[], None] | None) -> None:
        """Sets the function to call, at once if it is cancelled already; None removes it."""
        with self._lock:
            self._watcher = watcher
            cancelled = self._cancelled
        if watcher is not None and cancelled:
            watcher()
