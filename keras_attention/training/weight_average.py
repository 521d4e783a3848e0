"""A moving average of a model's weights, which is what validation sees."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops


class WeightAverage(keras.callbacks.Callback):
    """Averages the weights after every step, and shows the average where the model is looked at.

    `average += (1 - m) (weights - average)` with `m = min(momentum, (1 + n) / (10 + n))` after n
    steps before this one: the random weights of the start are soon forgotten, and an average of
    few steps looks back at a tenth of them only. The average is in the model from the beginning of
    an evaluation to the end of the epoch, for callbacks before this one; then the weights are back,
    to the bit.

    Args:
        momentum: the highest, at least 0 and below 1.

    Attributes:
        values: the average of each trainable variable; empty before the first step.

    Reference: `num_updates` of `tf.train.ExponentialMovingAverage`; Polyak and Juditsky, 1992.
    """

    def __init__(self, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.values: list[Any] = []
        self._weights = None
        self._steps = 0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._steps = int(self.model.optimizer.iterations)
        if not self.values:
            self.values = [ops.convert_to_tensor(x) for x in self._copies()]

    def on_train_batch_end(self, batch: Any, logs: dict[str, float] | None = None) -> None:
        share = 1 - min(self.momentum, (1 + self._steps) / (10 + self._steps))
        self._steps += 1
        self.values = [
            average + share * (ops.convert_to_tensor(x) - average)
            for average, x in zip(self.values, self._variables(), strict=True)
        ]

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        self._weights = self._copies()
        self._assign(self.values)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self._weights is not None:
            self._assign(self._weights)
            self._weights = None

    def _variables(self) -> Any:
        return self.model.trainable_variables

    def _copies(self) -> Any:
        return [ops.convert_to_numpy(x).copy() for x in self._variables()]

    def _assign(self, values: Iterable[Any]) -> None:
        for variable, value in zip(self._variables(), values, strict=True):
            variable.assign(value)
