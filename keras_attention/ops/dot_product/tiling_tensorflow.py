"""Cutting the tensors of one call of dot-product attention into blocks, and joining blocks again.

Shapes: B batch, K heads of key and value, R query heads that share one of them, Tq and Tv steps, D
features. A block is `(b, K, R, rows, columns)`: b sequences, some rows of queries, some columns of
keys. Rows and columns are counted from the first query and key. Sizes are integers where they are
known, tensors elsewhere.
"""

from typing import Any

import tensorflow as tf

from keras_attention._types import Tensor


class Tiling:
    """Number and size of the blocks along batch, queries and keys.

    Args:
        query: `(B, H, Tq, D)`.
        value: `(B, K, Tv, Dv)`.
        most_rows: how many queries a block may have.
        most_columns: how many keys.
    """

    def __init__(self, query: Tensor, value: Tensor, most_rows: int, most_columns: int) -> None:
        self.batch, heads, self.query_length, _ = shape_of(query)
        _, self.kv_heads, self.value_length, _ = shape_of(value)
        self.shared = heads // self.kv_heads
        self.count_q, self.rows = _cut(self.query_length, most_rows)
        self.count_k, self.columns = _cut(self.value_length, most_columns)
        # Short sequences share a block, long ones have their own: its size is bounded either way.
        together = _largest(1, most_rows * most_columns // (self.rows * self.columns))
        self.count_b, self.group = _cut(self.batch, together)
        self.sizes = {"b": self.group, "q": self.rows, "k": self.columns}
        self.counts = {"b": self.count_b, "q": self.count_q, "k": self.count_k}
        self.row_shape = [self.group, self.kv_heads, self.shared, self.rows]

    # Before cutting

    def by_head(self, x: Tensor) -> Tensor:
        """`(B, H, Tq, D)` to `(B, K, R, Tq, D)`."""
        batch, _, steps, features = shape_of(x)
        return tf.reshape(x, [batch, self.kv_heads, self.shared, steps, features])

    def by_pair(self, x: Tensor) -> Tensor:
        """Reshape `(B|1, H|1, Tq|1, Tv|1)` to rank 5; unknown sizes are broadcast."""
        full = [self.batch, self.kv_heads * self.shared, self.query_length, self.value_length]
        sizes = [one if one == 1 else all_ for one, all_ in zip(x.shape, full, strict=True)]
        if None in tuple(x.shape):
            x = tf.broadcast_to(x, sizes)
        heads = [1, 1] if x.shape[1] == 1 else [self.kv_heads, self.shared]
        return tf.reshape(x, [sizes[0], *heads, *sizes[2:]])

    def pad(self, x: Tensor, axes: Tensor) -> Tensor:
        """`x` with whole blocks along the axes named b, q and k, unless of size 1."""
        lengths = {"b": self.batch, "q": self.query_length, "k": self.value_length}
        more = [
            0
            if axis == "." or x.shape[n] == 1
            else self.counts[axis] * self.sizes[axis] - lengths[axis]
            for n, axis in enumerate(axes)
        ]
        whole = all(isinstance(m, int) and m == 0 for m in more)
        return x if whole else tf.pad(x, [[0, m] for m in more])

    # One block

    def slice_block(self, x: Tensor, at: dict[str, Any], axes: Tensor) -> Tensor:
        """The block of `x` at these indices of blocks."""
        begin, size = [], []
        for n, axis in enumerate(axes):
            whole = axis == "." or x.shape[n] == 1
            begin.append(0 if whole else at[axis] * self.sizes[axis])
            size.append((x.shape[n] or tf.shape(x)[n]) if whole else self.sizes[axis])
        block = tf.slice(x, tf.stack(begin), tf.stack(size))
        block.set_shape([s if isinstance(s, int) else None for s in size])
        return block

    def flat(self, x: Tensor) -> Tensor:
        """`(b, K, R, rows, D)` to `(b, K, R * rows, D)`: one product for all that share a key."""
        rows = self.shared * self.rows
        return tf.reshape(x, [self.group, self.kv_heads, rows, x.shape[-1] or -1])

    def by_row(self, x: Tensor) -> Tensor:
        """Back from `flat`."""
        return tf.reshape(x, [*self.row_shape, x.shape[-1] or tf.shape(x)[-1]])

    # After the loops

    def joined(self, x: Tensor, features: Tensor) -> Tensor:
        """Stacked row blocks `(count_b count_q, b, K, R, rows, D)` to `(B, H, Tq, D)`."""
        x = tf.reshape(x, [self.count_b, self.count_q, *shape_of(x)[1:]])
        x = tf.transpose(x, [0, 2, 3, 4, 1, 5, 6])
        length = self.count_q * self.rows
        shape = [self.count_b * self.group, self.kv_heads * self.shared, length, features]
        return tf.reshape(x, shape)[: self.batch, :, : self.query_length]

    def joined_keys(self, x: Tensor, features: Tensor) -> Tensor:
        """Stacked column blocks `(count_b count_k, b, K, D, columns)` to `(B, K, Tv, D)`."""
        x = tf.reshape(x, [self.count_b, self.count_k, *shape_of(x)[1:]])
        x = tf.transpose(x, [0, 2, 3, 1, 5, 4])
        length = self.count_k * self.columns
        shape = [self.count_b * self.group, self.kv_heads, length, features]
        return tf.reshape(x, shape)[: self.batch, :, : self.value_length]

    def row_blocks(self, dtype: Any) -> Tensor:
        """A TensorArray with a place for each block of rows."""
        return tf.TensorArray(dtype, self.count_b * self.count_q)


def shape_of(x: Tensor) -> Tensor:
    """Sizes, as integers where they are known."""
    dynamic = tf.shape(x)
    return [dynamic[n] if size is None else size for n, size in enumerate(x.shape)]


def zeros(shape: Any, dtype: Any) -> Tensor:
    """A TensorArray of zeros, to `add` to."""
    array = tf.TensorArray(dtype, shape[0], clear_after_read=False)
    return array.unstack(tf.zeros(shape, dtype))


def add(array: Tensor, index: Any, x: Tensor) -> Tensor:
    """The TensorArray with `x` added to one of its elements."""
    return array.write(index, array.read(index) + x)


def _cut(length: Any, size: Any) -> tuple[Any, Any]:
    """Number of blocks of at most `size`, and their equal length, which leaves little to pad."""
    count = _largest(1, -(-length // size))
    return count, _largest(1, -(-length // count))


def _largest(*values: Any) -> Tensor:
    if any(tf.is_tensor(value) for value in values):
        return tf.maximum(*values)
    return max(values)
