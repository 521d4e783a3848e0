"""How well each query matches each key. All return `(..., Tq, Tv)`, float32 at least."""

from keras import ops

from keras_attention.ops.precision import wide_dtype


def dot_scores(query, key):
    """`q . k` for `query (..., Tq, D)` and `key (..., Tv, D)`."""
    dtype = wide_dtype(query.dtype)
    return ops.matmul(ops.cast(query, dtype), ops.swapaxes(ops.cast(key, dtype), -1, -2))


def plain_additive_scores(query, key, vector):
    """`v . tanh(q + k)` as it is written, for inputs of one dtype; builds `(B, Tq, Tv, U)`."""
    query = query[:, :, None, :]  # (B, Tq, 1, U)
    key = key[:, None, :, :]  # (B, 1, Tv, U)
    return ops.squeeze(ops.matmul(ops.tanh(query + key), vector[:, None]), -1)
