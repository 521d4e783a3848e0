"""A layer that attaches a mask to a tensor."""

from typing import Any, Unpack

import keras

from keras_attention._types import LayerOptions, Shape, Tensor


class CarryMask(keras.layers.Layer):
    """The identity. Keras attaches the `mask` it is called with to what it returns."""

    def __init__(self, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.built = True  # has no weights, and is not called where there is no mask

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Any:
        return inputs

    def quantize(
        self, mode: Any = None, type_check: bool = True, config: dict[str, Any] | None = None
    ) -> None:
        """Nothing: no weights."""

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        return inputs_shape

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor) -> Tensor | None:
        return previous_mask
