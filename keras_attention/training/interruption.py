"""Ctrl-C between two batches."""

import signal
import threading

import keras


class Interruption(keras.callbacks.Callback):
    """Turns Ctrl-C and SIGTERM into a KeyboardInterrupt after the batch that is under way.

    Python raises it wherever it happens to be, in a destructor, too, where it is printed and
    lost, and training would go on. Within `with`, the first signal waits; a second one interrupts
    at once. Signals that somebody handles otherwise, and other threads, are left alone.
    """

    def __init__(self):
        super().__init__()
        self.asked = False
        self._before = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is signal.default_int_handler:
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, kind, error, traceback):
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None:
            self._stop_if_asked()

    def on_train_batch_end(self, batch, logs=None):
        self._stop_if_asked()

    def on_test_batch_end(self, batch, logs=None):
        self._stop_if_asked()

    def _ask(self, number, frame):
        self._stop_if_asked()
        self.asked = True

    def _stop_if_asked(self):
        if self.asked:
            raise KeyboardInterrupt
