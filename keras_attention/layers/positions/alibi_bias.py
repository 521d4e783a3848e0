"""Positions as a penalty for distance."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import LayerOptions, Shape, Tensor
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.validation import check_positive
from keras_attention.ops.positions import alibi_slopes
from keras_attention.ops.precision import at_least_float32


@keras.saving.register_keras_serializable(package="keras_attention")
class AlibiBias(CheckedCall, keras.layers.Layer):
    """Lowers the scores of what is far, in each head by another slope (ALiBi).

    `-m_h |p - q|` for head h, with the slopes m from 1/2 to 1/256 for 8 heads, fixed. Sequences may
    be longer than those of training. The paper has causal attention; on both sides it is symmetric.

    Given as `position_bias` to an attention layer with heads.

    Masking: none; what may not be attended to is for the attention to say.

    Example:

    ```python
    attention = MultiHeadSelfAttention(num_heads=4, key_dim=16, position_bias=AlibiBias(4))
    y = attention(keras.ops.ones((2, 5, 64)), use_causal_mask=True)
    ```

    Args:
        num_heads: number H of heads.

    Call arguments:
        query_positions: int `(Tq,)` or `(B, Tq)`.
        value_positions: int `(Tv,)`.

    Returns:
        `(H, Tq, Tv)` or `(B, H, Tq, Tv)`, float32, or float64 if the layer computes in it.

    Raises:
        ValueError: `num_heads` is no positive integer.

    Reference: Press, Smith and Lewis, 2022, https://arxiv.org/abs/2108.12409, section 3.
    """

    def __init__(self, num_heads: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.num_heads = check_positive(num_heads=num_heads)

    def build(self, query_positions_shape: Shape, value_positions_shape: Shape) -> None:
        pass

    def call(self, query_positions: Tensor, value_positions: Tensor) -> Any:
        distance = ops.abs(ops.expand_dims(query_positions, -1) - value_positions)
        # float32 at least, as scores are: bfloat16 would make far distances equal.
        dtype = at_least_float32(self.compute_dtype)
        slopes = ops.convert_to_tensor(alibi_slopes(self.num_heads), dtype)
        return -ops.expand_dims(slopes, (1, 2)) * ops.expand_dims(ops.cast(distance, dtype), -3)

    def compute_output_spec(self, query_positions: Tensor, value_positions: Tensor) -> Any:
        *batch, length = query_positions.shape
        shape = (*batch, self.num_heads, length, value_positions.shape[-1])
        return keras.KerasTensor(shape, dtype=at_least_float32(self.compute_dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_heads": self.num_heads}
