"""Training of a memory network that starts without the softmax of its hops."""

from typing import Any

import keras


class LinearStart(keras.callbacks.Callback):
    """Leaves out the softmax of a `MemoryNetwork`'s hops until training gets no better that way.

    The weights are then the scores themselves, and gradients reach all sentences. From the first
    epoch in which the monitored figure does not go down, or the last of `epochs`, the softmax is
    back; after training it is in any case.

    ```python
    model = MemoryNetwork(vocabulary_size=11)
    model.compile("adam", "sparse_categorical_crossentropy")
    story, question = np.ones((2, 3, 5), "int32"), np.ones((2, 5), "int32")
    inputs = {"story": story, "question": question}
    model.fit(inputs, np.array([1, 2]), epochs=3, callbacks=[LinearStart(epochs=2)], verbose=0)
    ```

    Args:
        epochs: longest start; no limit by default.
        monitor: which figure of an epoch has to go down; `"val_loss"`, or `"loss"` where there is
            none.

    Reference: Sukhbaatar et al., 2015, https://arxiv.org/abs/1503.08895, section 4.2.
    """

    def __init__(self, epochs: int | None = None, monitor: str = "val_loss") -> None:
        super().__init__()
        self.epochs = epochs
        self.monitor = monitor
        self.best = float("inf")
        self.is_linear = False

    def on_train_begin(self, logs: Any = None) -> None:
        self.best = float("inf")
        self._set(True)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not self.is_linear:
            return
        logs = logs or {}
        figure = logs.get(self.monitor, logs.get("loss"))
        if figure >= self.best or (self.epochs is not None and epoch + 1 >= self.epochs):
            self._set(False)
        self.best = min(self.best, figure)

    def on_train_end(self, logs: Any = None) -> None:
        self._set(False)

    def _set(self, is_linear: bool) -> None:
        self.is_linear = is_linear
        self.model.memory.linear.assign(float(is_linear))
