"""The gradient by a bias of the scores, which several blocks may share."""

from typing import Any

import tensorflow as tf

from keras_attention._types import Tensor
from keras_attention.ops.dot_product.tiling_tensorflow import add, shape_of, zeros


class BiasGradient:
    """Sums the gradients of the scores over what the bias does not tell apart.

    Args:
        blocks: `TiledAttention` with a bias, `(B, K, R, Tq, Tv)` in whole blocks or of size 1.
    """

    def __init__(self, blocks: Tensor) -> None:
        self.dtype, self.tiling = blocks.dtype, blocks.tiling
        self.shape = shape_of(blocks.inputs["bias"])
        # How many blocks, and of which size, the bias has along b, q and k.
        one = {axis: blocks.bias.shape[n] == 1 for axis, n in (("b", 0), ("q", 3), ("k", 4))}
        self.counts = {axis: 1 if one[axis] else self.tiling.counts[axis] for axis in one}
        self.sizes = {axis: 1 if one[axis] else self.tiling.sizes[axis] for axis in one}
        heads = shape_of(blocks.bias)[1:3]
        self.block = [self.sizes["b"], *heads, self.sizes["q"], self.sizes["k"]]

    def zeros(self) -> Tensor:
        """A TensorArray with a place for each block of the bias."""
        counts = self.counts
        return zeros([counts["b"] * counts["q"] * counts["k"], *self.block], self.dtype)

    def add(self, d_biases: Tensor, d_scores: Tensor, at: dict[str, Any]) -> Tensor:
        """Add the gradient of one block of scores to that array."""
        # A count that the graph does not know is a tensor: no part of an `if`.
        one = {axis for axis, n in self.counts.items() if isinstance(n, int) and n == 1}
        b, q, k = (0 if axis in one else at[axis] for axis in "bqk")
        index = (b * self.counts["q"] + q) * self.counts["k"] + k
        shared = [n for n, size in enumerate(self.block) if isinstance(size, int) and size == 1]
        return add(d_biases, index, tf.reduce_sum(d_scores, shared, keepdims=True))

    def joined(self, x: Tensor) -> Tensor:
        """The stacked blocks, `(B, H, Tq, Tv)` as the bias was given."""
        counts = self.counts
        x = tf.reshape(x, [counts["b"], counts["q"], counts["k"], *shape_of(x)[1:]])
        x = tf.transpose(x, [0, 3, 4, 5, 1, 6, 2, 7])
        batch, rows, columns = (counts[axis] * self.sizes[axis] for axis in "bqk")
        _, kv_heads, shared, _, _ = self.block
        x = tf.reshape(x, [batch, kv_heads * shared, rows, columns])
        batch, _, rows, columns = self.shape
        return x[:batch, :, :rows, :columns]
