"""Positions as waves."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import LayerOptions, Shape, Tensor
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.validation import in_compute_dtype
from keras_attention.ops.positions import sinusoids, step_positions
from keras_attention.ops.precision import at_least_float32


@keras.saving.register_keras_serializable(package="keras_attention")
class SinusoidalPositions(CheckedCall, keras.layers.Layer):
    """Adds to each step what only its position decides, and what needs no training.

    `x_p + [sin(p), cos(p), sin(p / r), cos(p / r), ...]` with `r = base^(2/D)`.

    Masking: adds to padded steps, too; the mask of the input travels on with the output.

    Example:

    ```python
    x = keras.ops.ones((2, 5, 16))
    y = SinusoidalPositions()(x)
    last = SinusoidalPositions()(x[:, 4:], start=4)  # equal to y[:, 4:]
    ```

    Args:
        base: the slowest wave has almost this length times 2 pi.

    Call arguments:
        inputs: `(B, T, D)`.
        start: position of the first step: an integer, a scalar tensor, or `(B,)` where the
            sequences differ.

    Returns:
        `(B, T, D)`.

    Raises:
        ValueError: `base` is not above 1.

    Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.5.
    """

    def __init__(self, base: float = 10000.0, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        if not base > 1:
            raise ValueError(f"Expected base > 1. Received: base={base}")
        self.base = base
        self.supports_masking = True

    def call(self, inputs: Tensor, start: Tensor = 0) -> Any:
        inputs = in_compute_dtype(self, inputs)
        positions = step_positions(ops.shape(inputs)[1], start)
        waves = sinusoids(positions, inputs.shape[-1], self.base, at_least_float32(inputs.dtype))
        return inputs + ops.cast(waves, inputs.dtype)

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "base": self.base}
