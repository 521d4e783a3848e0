"""Positions as embeddings."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import Initializer, LayerOptions, Shape, Tensor
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.validation import check_positive, clone_initializer, in_compute_dtype
from keras_attention.ops.positions import step_positions


@keras.saving.register_keras_serializable(package="keras_attention")
class LearnedPositions(CheckedCall, keras.layers.Layer):
    """Adds a learned vector for each position: `x_p + P_p`.

    Masking: adds to padded steps, too; the mask of the input travels on with the output.

    Example:

    ```python
    positions = LearnedPositions(max_length=32)
    x = keras.ops.ones((2, 5, 16))
    y = positions(x)
    last = positions(x[:, 4:], start=4)  # equal to y[:, 4:]
    ```

    Args:
        max_length: number of positions. Steps beyond have the vector of the last, where the graph
            does not know their number.
        initializer: of the vectors.

    Call arguments:
        inputs: `(B, T, D)`.
        start: position of the first step: an integer, a scalar tensor, or `(B,)` where the
            sequences differ.

    Returns:
        `(B, T, D)`.

    Raises:
        ValueError: `max_length` is no positive integer; T is known and above it.

    Reference: Gehring et al., 2017, https://arxiv.org/abs/1705.03122, section 3.1.
    """

    def __init__(
        self,
        max_length: int,
        initializer: Initializer = "random_normal",
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.max_length = check_positive(max_length=max_length)
        self.initializer = keras.initializers.get(initializer)
        self.supports_masking = True

    def build(self, inputs_shape: Shape) -> None:
        self.vectors = self.add_weight(
            name="vectors",
            shape=(self.max_length, inputs_shape[-1]),
            initializer=clone_initializer(self.initializer),
        )

    def call(self, inputs: Tensor, start: Tensor = 0) -> Any:
        if inputs.shape[1] is not None and inputs.shape[1] > self.max_length:
            raise ValueError(
                f"Expected at most max_length={self.max_length} steps. "
                f"Received: inputs.shape={tuple(inputs.shape)}"
            )
        inputs = in_compute_dtype(self, inputs)
        positions = step_positions(ops.shape(inputs)[1], start)
        positions = ops.minimum(positions, self.max_length - 1)
        return inputs + ops.cast(ops.take(self.vectors, positions, axis=0), inputs.dtype)

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_length": self.max_length,
            "initializer": keras.initializers.serialize(self.initializer),
        }
