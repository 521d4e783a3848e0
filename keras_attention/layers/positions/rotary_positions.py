"""Positions as rotations of query and key."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import LayerOptions, Shape, Tensor
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.validation import in_compute_dtype
from keras_attention.ops.positions import PAIRS, rotate


@keras.saving.register_keras_serializable(package="keras_attention")
class RotaryPositions(CheckedCall, keras.layers.Layer):
    """Turns each pair of features by an angle that grows with the position (RoPE).

    With z the pair i of the D features at position p, as a complex number:
    `z exp(j p base^(-2i/D))`. The product of a query and a key then depends on how far they are
    apart and not on where they stand. Nothing is added to the sequence and nothing is learned.

    Given as `rotary` to `MultiHeadSelfAttention`, which calls it with the projected query and key
    of each head.

    Masking: turns padded steps, too.

    Example:

    ```python
    attention = MultiHeadSelfAttention(num_heads=4, key_dim=16, rotary=RotaryPositions())
    y = attention(keras.ops.ones((2, 5, 64)), use_causal_mask=True)
    ```

    Args:
        base: the slowest rotation takes almost this times 2 pi positions.
        pairs: `"halves"`, feature i with feature i + D/2, as GPT-NeoX and Llama have them, or
            `"adjacent"`, 2i with 2i + 1, as in the paper. One is the other with its features in
            another order.

    Call arguments:
        inputs: `(B, T, D)` or `(B, H, T, D)`, D even.
        positions: int `(T,)`, or `(B, T)` where the sequences differ; 0 to T - 1 by default.

    Returns:
        The inputs turned, in their shape.

    Raises:
        ValueError: `base` is not above 1; unknown `pairs`; D is odd.

    Reference: Su et al., 2021, https://arxiv.org/abs/2104.09864, section 3.2, equation 15.
    """

    def __init__(
        self, base: float = 10000.0, pairs: str = "halves", **kwargs: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**kwargs)
        if not base > 1:
            raise ValueError(f"Expected base > 1. Received: base={base}")
        if pairs not in PAIRS:
            raise ValueError(f"Expected pairs to be one of {PAIRS}. Received: pairs={pairs!r}")
        self.base = base
        self.pairs = pairs
        self.supports_masking = True

    def call(self, inputs: Tensor, positions: Any = None) -> Any:
        if inputs.shape[-1] % 2:
            raise ValueError(
                "Expected an even number of features, which are turned in pairs. "
                f"Received: inputs.shape={tuple(inputs.shape)}"
            )
        if positions is None:
            positions = ops.arange(ops.shape(inputs)[-2], dtype="int32")
        return rotate(in_compute_dtype(self, inputs), positions, self.base, self.pairs)

    def compute_output_shape(
        self, inputs_shape: Shape, positions_shape: Shape | None = None
    ) -> Shape:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "base": self.base, "pairs": self.pairs}
