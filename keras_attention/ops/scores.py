"""Scores of each query and key. All functions return `(..., Tq, Tv)`, float32 at least."""

from keras import ops

from keras_attention._types import Tensor
from keras_attention.ops.matrix import by_rows
from keras_attention.ops.precision import at_least_float32


def dot_scores(query: Tensor, key: Tensor) -> Tensor:
    """`q . k` for `query (..., Tq, D)` and `key (..., Tv, D)`."""
    dtype = at_least_float32(query.dtype)
    return ops.matmul(ops.cast(query, dtype), ops.swapaxes(ops.cast(key, dtype), -1, -2))


def plain_additive_scores(query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
    """`v . tanh(q + k)` as it is written, for inputs of one dtype; builds `(B, Tq, Tv, U)`."""
    hidden = ops.tanh(ops.expand_dims(query, 2) + ops.expand_dims(key, 1))
    return ops.squeeze(
        by_rows(lambda rows: ops.matmul(rows, ops.expand_dims(vector, 1)), hidden), -1
    )
