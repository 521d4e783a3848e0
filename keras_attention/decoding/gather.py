"""Rows by their places: looked up, written, and the highest of each. One operation where possible.

`keras.ops` has all of this, but lets places count from the end and tells -0 from 0: on TensorFlow,
where each operation of a step costs as much as its work, that is much of what a search does.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_attention._types import Tensor
from keras_attention._xla import compiled_by_xla

# Up to so many, out of so many times as many, one maximum after another is faster than an order of
# all, where fused. With fewer to choose from, it takes longer to compile than it is worth.
FEW = 16
TIMES = 8


def take_rows(x: Tensor, places: Tensor) -> Tensor:
    """`x (B, N, ...)` at `places`, int `(B, K)` from 0 to N - 1: `(B, K, ...)`."""
    if keras.backend.backend() == "tensorflow":
        from keras_attention.decoding import gather_tensorflow as rows_tensorflow

        return rows_tensorflow.take_rows(x, places)
    batch, width, *rest = ops.shape(x)
    offsets = ops.arange(batch, dtype="int32")[:, None] * width
    rows = ops.reshape(x, (batch * width, *rest))
    return ops.take(rows, offsets + ops.cast(places, "int32"), axis=0)


def reshape(x: Tensor, shape: Sequence[Any]) -> Tensor:
    """`x` in a shape of which some sizes may be tensors; one of them is left to be worked out.

    On TensorFlow, a shape of integers alone is a constant, and one of tensors several operations.
    """
    known = [size for size in shape if isinstance(size, int)]
    if len(known) == len(shape) - 1 and min(known, default=1) > 0:
        shape = [size if isinstance(size, int) else -1 for size in shape]
    return ops.reshape(x, shape)


def with_row(rows: Tensor, index: Tensor, row: Tensor) -> Tensor:
    """`rows (N, ...)` with `row (...)` in place `index`, an integer tensor: a new tensor."""
    return ops.scatter_update(rows, ops.reshape(index, (1, 1)), row[None])


def highest(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` highest of `x (..., N)`, the highest first, and their places, int32.

    Of equals the first comes first, on all backends.
    """
    if keras.backend.backend() == "torch":
        from keras_attention.decoding import gather_torch as rows_torch

        values, places = rows_torch.highest(x, count)
    elif count <= FEW and _is_many(x.shape[-1], TIMES * count) and compiled_by_xla():
        return _highest_one_by_one(x, count)
    else:
        values, places = ops.top_k(x, count)
    return values, ops.cast(places, "int32")


def _is_many(size: Any, least: int) -> bool:
    return size is not None and size >= least


def _highest_one_by_one(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """`highest` as maxima of what is left. XLA sorts for `top_k`, one row after another."""
    size = ops.shape(x)[-1]
    order = ops.arange(size, dtype="int32")
    left = ops.ones_like(x, dtype="bool")
    values, places = [], []
    for _ in range(count):
        value = ops.max(ops.where(left, x, float("-inf")), axis=-1, keepdims=True)
        # The first of them; the last of all where none compares as equal, as NaN does not.
        is_highest = ops.logical_and(left, ops.equal(x, value))
        place = ops.min(ops.where(is_highest, order, size - 1), axis=-1, keepdims=True)
        left = ops.logical_and(left, ops.not_equal(order, place))
        values.append(value)
        places.append(place)
    return ops.concatenate(values, axis=-1), ops.concatenate(places, axis=-1)
