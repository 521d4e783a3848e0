"""Dot-product attention within one block: scores, their softmax, dropout.

For shapes see `dot_product_grid_tensorflow.py`.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_attention._types import Tensor
from keras_attention._xla import compiled_by_xla
from keras_attention.ops.dot_product.block_range_tensorflow import BlockRange
from keras_attention.ops.dot_product.tiling_tensorflow import Tiling

# MASKED is a masked score, NOTHING the log of a sum without terms. MASKED is so far below NOTHING,
# and NOTHING below every score, that exp(MASKED - NOTHING) is 0. Both are finite, since
# inf - inf is NaN.
MASKED = float(np.finfo("float32").min) / 2
NOTHING = float(np.finfo("float32").min) / 4


class TiledAttention:
    """One call, cut into blocks. Arguments as those of `blocked_attention`."""

    def __init__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor,
        nonfinite: Tensor,
        seed: Any,
        size: Any,
        causal: bool,
        window: int | None,
        soft_cap: float | None,
        dropout: float,
        bias: Tensor | None = None,
        sinks: Any = None,
    ) -> None:
        self.dtype = tf.float64 if query.dtype == tf.float64 else tf.float32
        self.in_xla = compiled_by_xla()
        self.soft_cap, self.dropout, self.seed = soft_cap, dropout, seed
        self.inputs = {"query": query, "key": key, "value": value, "bias": bias, "sinks": sinks}
        self.tiling = tiling = Tiling(query, value, *(size or (512, 512)))
        self.features, self.value_features = query.shape[-1], value.shape[-1]
        self._query = tiling.pad(tiling.by_head(query), "b..q.")
        self._key = tiling.pad(key, "b.k.")
        self._value = tiling.pad(value, "b.k.")
        self._mask = None if mask is None else tiling.pad(tiling.by_pair(mask), "b..qk")
        self.bias = None if bias is None else tiling.pad(tiling.by_pair(bias), "b..qk")
        self.nonfinite = None if nonfinite is None else tiling.pad(nonfinite, "b.k")
        self.block_range = BlockRange(tiling, causal, window)
        self.sinks = sinks
        if sinks is not None:
            shape = [1, tiling.kv_heads, tiling.shared, 1, 1]
            self.sinks = tf.reshape(tf.cast(sinks, self.dtype), shape)

    def query(self, at: dict[str, Any]) -> Tensor:
        """`(b, K, R * rows, D)`."""
        return self.tiling.flat(
            tf.cast(self.tiling.slice_block(self._query, at, "b..q."), self.dtype)
        )

    def key_and_value(self, at: dict[str, Any]) -> Tensor:
        """`(b, K, columns, D)` and `(b, K, columns, Dv)`."""
        picked = (self.tiling.slice_block(x, at, "b.k.") for x in (self._key, self._value))
        return [tf.cast(x, self.dtype) for x in picked]

    def scores(
        self,
        query: Tensor,
        key: Tensor,
        at: dict[str, Any],
        needs_mask: Tensor,
        minus: Tensor | None = None,
    ) -> tuple[Any, Any, Any]:
        """Scores `(b, K, R, rows, columns)`, masked ones low, the capped ones, and the mask."""
        capped = None
        scores = self.tiling.by_row(tf.matmul(query, key, transpose_b=True))
        if self.soft_cap:
            capped = tf.tanh(scores / self.soft_cap)
            scores = capped * self.soft_cap
        scores = scores if minus is None else scores - minus
        if self.bias is not None:
            scores += tf.cast(self.tiling.slice_block(self.bias, at, "b..qk"), self.dtype)
            # A bias of minus infinity is a mask too: of a whole row it would make the softmax NaN.
            scores = tf.maximum(scores, tf.cast(MASKED, self.dtype))
        visible = None if self._mask is None else self.tiling.slice_block(self._mask, at, "b..qk")
        if needs_mask:
            near = self.block_range.mask(at)
            visible = near if visible is None else tf.logical_and(visible, near)
        if visible is not None:
            scores = tf.where(visible, scores, tf.cast(MASKED, self.dtype))
        return scores, capped, visible

    def softmax(self, scores: Tensor) -> tuple[Any, Any, Any]:
        """Weights, logs of their sums, and a factor of each row by which they sum to 1."""
        if self.in_xla:  # which computes the exponentials and their sum in one pass
            peak = tf.reduce_max(scores, -1, keepdims=True)
            weights = tf.exp(scores - peak)
            total = tf.reduce_sum(weights, -1, keepdims=True)
            return weights, peak + tf.math.log(total), 1 / total
        weights = tf.nn.softmax(scores)  # one operation instead of four
        # A score and its weight tell the sum. The largest always do; to look for them takes as long
        # as the softmax itself, and the first of each row does too, unless its weight is next to 0.
        first = weights[..., :1]
        log = tf.cond(
            tf.reduce_min(first) > 1e-30,
            lambda: scores[..., :1] - tf.math.log(first),
            lambda: (
                tf.reduce_max(scores, -1, keepdims=True)
                - tf.math.log(tf.reduce_max(weights, -1, keepdims=True))
            ),
        )
        return weights, log, tf.ones([], self.dtype)

    def dropout_factors(self, at: dict[str, Any]) -> Tensor:
        """0 or 1 / (1 - dropout), the same whenever this block is computed."""
        tiling = self.tiling
        block = (at["b"] * tiling.count_q + at["q"]) * tiling.count_k + at["k"]
        seed = tf.stack([self.seed[0], self.seed[1] + block])
        shape = [*tiling.row_shape, tiling.columns]
        draw = tf.random.stateless_uniform(shape, seed, dtype=tf.float32)
        return tf.cast(draw >= self.dropout, self.dtype) / (1 - self.dropout)
