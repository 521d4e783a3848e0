"""Positions as a learned bias for each distance."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import Initializer, LayerOptions, Shape, Tensor
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.validation import check_positive, clone_initializer
from keras_attention.ops.positions import relative_buckets
from keras_attention.ops.precision import at_least_float32


@keras.saving.register_keras_serializable(package="keras_attention")
class RelativeBias(CheckedCall, keras.layers.Layer):
    """Adds to the scores a learned number for each head and bucket of distances (T5).

    Near distances have a bucket each; farther ones share buckets that widen as a logarithm, and
    all from `max_distance` on share one.

    Given as `position_bias` to an attention layer with heads; T5 has one such layer for all blocks
    of an encoder or decoder.

    Masking: none; what may not be attended to is for the attention to say.

    Example:

    ```python
    bias = RelativeBias(4, bidirectional=False)
    attention = MultiHeadSelfAttention(num_heads=4, key_dim=16, position_bias=bias)
    y = attention(keras.ops.ones((2, 5, 64)), use_causal_mask=True)
    ```

    Args:
        num_heads: number H of heads.
        num_buckets: number of buckets, of both sides together if bidirectional.
        max_distance: from here on all distances share a bucket.
        bidirectional: whether values after the query have buckets of their own.
        initializer: of the biases.

    Call arguments:
        query_positions: int `(Tq,)` or `(B, Tq)`.
        value_positions: int `(Tv,)`.

    Returns:
        `(H, Tq, Tv)` or `(B, H, Tq, Tv)`, float32, or float64 if the layer computes in it.

    Raises:
        ValueError: a number is no positive integer; too few buckets; `max_distance` is not above
            the distances with a bucket each.

    Reference: Raffel et al., 2020, https://arxiv.org/abs/1910.10683, section 2.1.
    """

    def __init__(
        self,
        num_heads: int,
        num_buckets: int = 32,
        max_distance: int = 128,
        bidirectional: bool = True,
        initializer: Initializer = "random_normal",
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = check_positive(num_heads=num_heads)
        self.num_buckets = check_positive(num_buckets=num_buckets)
        self.max_distance = check_positive(max_distance=max_distance)
        self.bidirectional = bidirectional
        self.initializer = keras.initializers.get(initializer)
        exact = num_buckets // (4 if bidirectional else 2)
        if exact < 1 or max_distance <= exact:
            raise ValueError(
                "Expected 2 buckets or more for each side, and max_distance above half of them. "
                f"Received: num_buckets={num_buckets}, max_distance={max_distance}"
            )

    def build(self, query_positions_shape: Shape, value_positions_shape: Shape) -> None:
        self.biases = self.add_weight(
            name="biases",
            shape=(self.num_buckets, self.num_heads),
            initializer=clone_initializer(self.initializer),
        )

    def call(self, query_positions: Tensor, value_positions: Tensor) -> Any:
        buckets = relative_buckets(self.num_buckets, self.max_distance, self.bidirectional)
        biases = ops.cast(self.biases, at_least_float32(self.compute_dtype))
        by_distance = ops.take(biases, buckets, axis=0)
        distance = ops.cast(value_positions - ops.expand_dims(query_positions, -1), "int32")
        distance = ops.clip(distance, -self.max_distance, self.max_distance) + self.max_distance
        found = ops.take(ops.transpose(by_distance), distance, axis=1)  # (H, [B,] Tq, Tv)
        return found if len(found.shape) == 3 else ops.transpose(found, (1, 0, 2, 3))

    def compute_output_spec(self, query_positions: Tensor, value_positions: Tensor) -> Any:
        *batch, length = query_positions.shape
        shape = (*batch, self.num_heads, length, value_positions.shape[-1])
        return keras.KerasTensor(shape, dtype=at_least_float32(self.compute_dtype))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "num_buckets": self.num_buckets,
            "max_distance": self.max_distance,
            "bidirectional": self.bidirectional,
            "initializer": keras.initializers.serialize(self.initializer),
        }
