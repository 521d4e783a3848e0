"""Caches of fixed size for decoding: written step by step, read as a whole."""

from typing import Any

from keras import ops

from keras_attention._types import Tensor


def write_steps(cache: Tensor, steps: Tensor, position: Any) -> Tensor:
    """`cache (B, K, L, D)` with `steps (B, K, n, D)` from `position` on.

    A new tensor; in a loop the old one is overwritten in place. TensorFlow Serving runs it.

    Args:
        position: integer, scalar tensor, or one for each sequence, `(B,)`; `position + n <= L`.
    """
    batch, heads, length, features = ops.shape(cache)
    count = ops.shape(steps)[2]
    # Rows of the flat cache: sequence, head, step.
    first = (ops.arange(batch)[:, None] * heads + ops.arange(heads)[None, :]) * length
    position = ops.reshape(ops.cast(position, "int32"), (-1, 1, 1))
    rows = first[:, :, None] + position + ops.arange(count)
    flat = ops.scatter_update(
        ops.reshape(cache, (-1, features)),
        ops.reshape(rows, (-1, 1)),
        ops.reshape(ops.cast(steps, cache.dtype), (-1, features)),
    )
    return ops.reshape(flat, (batch, heads, length, features))
