"""Schedules over the steps of training: scheduled sampling, and a learning rate."""

from typing import Any, Self

import keras
from keras import ops

from keras_attention._types import Tensor


class SamplingSchedule:
    """A probability by training step; a subclass implements `read_probability`.

    Args of a call:
        step: number of training steps so far, an integer or a scalar tensor.

    Returns of a call:
        float32 scalar, the probability that a step of the decoder reads what the decoder itself
        said at the step before, instead of the target: 1 - `read_probability`.

    Reference: Bengio et al., 2015, https://arxiv.org/abs/1506.03099, section 2.4, whose epsilon is
    `read_probability` and whose i is `step`.
    """

    def __call__(self, step: Tensor) -> Tensor:
        step = ops.cast(step, "float32")
        return 1.0 - ops.clip(self.read_probability(step), 0.0, 1.0)

    def read_probability(self, step: Tensor) -> Tensor:
        """The probability of reading the target at training step `step`, a float32 scalar."""
        raise NotImplementedError(f"{type(self).__name__} must define `read_probability`.")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_attention")
class ConstantSampling(SamplingSchedule):
    """The same `probability` of sampling at every step, 0 <= probability <= 1."""

    def __init__(self, probability: float) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f"Expected 0 <= probability <= 1. Received: probability={probability}")
        self.probability = probability

    def read_probability(self, step: Tensor) -> Tensor:
        return ops.zeros_like(step) + (1.0 - self.probability)

    def get_config(self) -> dict[str, Any]:
        return {"probability": self.probability}


@keras.saving.register_keras_serializable(package="keras_attention")
class LinearSampling(SamplingSchedule):
    """Reads the target with probability `max(minimum, start - slope step)`.

    Args:
        slope: how much less at each step, >= 0.
        start: k, the probability at step 0; at most 1 is read.
        minimum: epsilon, 0 <= minimum <= 1.
    """

    def __init__(self, slope: float, start: float = 1.0, minimum: float = 0.0) -> None:
        if not slope >= 0:
            raise ValueError(f"Expected slope >= 0. Received: slope={slope}")
        if not 0 <= minimum <= 1:
            raise ValueError(f"Expected 0 <= minimum <= 1. Received: minimum={minimum}")
        self.slope = slope
        self.start = start
        self.minimum = minimum

    def read_probability(self, step: Tensor) -> Tensor:
        return ops.maximum(self.start - self.slope * step, self.minimum)

    def get_config(self) -> dict[str, Any]:
        return {"slope": self.slope, "start": self.start, "minimum": self.minimum}


@keras.saving.register_keras_serializable(package="keras_attention")
class ExponentialSampling(SamplingSchedule):
    """Reads the target with probability `base ** step`, 0 < base < 1."""

    def __init__(self, base: float) -> None:
        if not 0 < base < 1:
            raise ValueError(f"Expected 0 < base < 1. Received: base={base}")
        self.base = base

    def read_probability(self, step: Tensor) -> Tensor:
        return ops.power(ops.cast(self.base, "float32"), step)

    def get_config(self) -> dict[str, Any]:
        return {"base": self.base}


@keras.saving.register_keras_serializable(package="keras_attention")
class InverseSigmoidSampling(SamplingSchedule):
    """Reads the target with probability `k / (k + exp(step / k))`, k >= 1."""

    def __init__(self, k: float) -> None:
        if not k >= 1:
            raise ValueError(f"Expected k >= 1. Received: k={k}")
        self.k = k

    def read_probability(self, step: Tensor) -> Tensor:
        # The same, without an exponential that overflows at 89 k steps.
        return ops.sigmoid(ops.log(ops.cast(self.k, "float32")) - step / self.k)

    def get_config(self) -> dict[str, Any]:
        return {"k": self.k}


@keras.saving.register_keras_serializable(package="keras_attention")
class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises to `rate` in `warmup_steps` and falls as the root of the steps.

    `rate min(step / warmup, sqrt(warmup / step))`, the schedule of the Transformer (and "noam" in
    tensor2tensor), whose rate is `units^-0.5 warmup^-0.5`.

    Args:
        rate: the highest rate, > 0.
        warmup_steps: steps until it is reached, a positive integer.

    Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 5.3, equation 3.
    """

    def __init__(self, rate: float, warmup_steps: int) -> None:
        super().__init__()
        if not rate > 0:
            raise ValueError(f"Expected rate > 0. Received: rate={rate}")
        if not warmup_steps >= 1:
            raise ValueError(f"Expected warmup_steps >= 1. Received: warmup_steps={warmup_steps}")
        self.rate = rate
        self.warmup_steps = warmup_steps

    def __call__(self, step: Tensor) -> Tensor:
        # The first step has number 0, and is to learn something, too.
        share = (ops.cast(step, "float32") + 1.0) / self.warmup_steps
        return self.rate * ops.minimum(share, ops.rsqrt(share))

    def get_config(self) -> dict[str, Any]:
        return {"rate": self.rate, "warmup_steps": self.warmup_steps}
