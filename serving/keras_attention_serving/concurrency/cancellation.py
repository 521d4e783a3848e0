"""Word to a piece of work that nobody waits for it any more."""

import threading
from collections.abc import Callable


class Cancellation:
    """Set once, by the transport, when a client has left; seen by whoever works for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._watcher: Callable[[], None] | None = None

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def cancel(self) -> None:
        """Tells the watcher, if there is one. Later calls do nothing."""
        with self._lock:
            watcher = None if self._cancelled else self._watcher
            self._cancelled = True
        if watcher is not None:
            watcher()

    def watch(self, watcher: Callable[[], None] | None) -> None:
        """From now on `watcher` is called, at once if it has happened already; None: no longer."""
        with self._lock:
            self._watcher = watcher
            cancelled = self._cancelled
        if watcher is not None and cancelled:
            watcher()
