"""Ctrl-C between two batches."""

import signal
import threading
from types import FrameType
from typing import Any, Self

import keras


class Interruption(keras.callbacks.Callback):
    """Turns Ctrl-C and SIGTERM into a KeyboardInterrupt after the batch that is under way.

    Python raises it wherever it happens to be, in a destructor, too, where it is printed and
    lost, and training would go on. Within `with`, the first signal waits; a second one interrupts
    at once. Signals that somebody handles otherwise, and other threads, are left alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is signal.default_int_handler:
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None:
            self._stop_if_asked()

    def on_train_batch_end(self, batch: Any, logs: dict[str, float] | None = None) -> None:
        self._stop_if_asked()

    def on_test_batch_end(self, batch: Any, logs: dict[str, float] | None = None) -> None:
        self._stop_if_asked()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._stop_if_asked()
        self.asked = True

    def _stop_if_asked(self) -> None:
        if self.asked:
            raise KeyboardInterrupt
