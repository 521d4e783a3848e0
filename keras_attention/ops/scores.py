"""How well each query matches each key. All return `(..., Tq, Tv)`, float32 at least."""

from keras import ops

from keras_attention.ops.precision import wide_dtype


def dot_scores(query, key):
    """`q . k` for `query (..., Tq, D)` and `key (..., Tv, D)`."""
    dtype = wide_dtype(query.dtype)
    return ops.matmul(ops.cast(query, dtype), ops.swapaxes(ops.cast(key, dtype), -1, -2))


def additive_scores(query, key, vector):
    """`v . tanh(q + k)` for `query (B, Tq, U)`, `key (B, Tv, U)`, `vector (U,)`."""
    dtype = wide_dtype(query.dtype)
    query = ops.cast(query, dtype)[:, :, None, :]  # (B, Tq, 1, U)
    key = ops.cast(key, dtype)[:, None, :, :]  # (B, 1, Tv, U)
    column = ops.cast(vector, dtype)[:, None]  # (U, 1)
    return ops.squeeze(ops.matmul(ops.tanh(query + key), column), -1)
