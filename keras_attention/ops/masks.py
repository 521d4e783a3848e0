"""Boolean masks. True = may be attended to, everywhere."""

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_attention._types import Tensor
from keras_attention.ops.precision import as_float


def causal_mask(query_length: Tensor, value_length: Tensor) -> Tensor:
    """Mask `(Tq, Tv)` that lets each query see its own position and those before it.

    Aligned to the end: the last query sees every value, so a single query against a cache of S
    values sees all S. Lengths may be integers or scalar tensors.
    """
    rows = ops.expand_dims(ops.arange(query_length), 1)
    columns = ops.expand_dims(ops.arange(value_length), 0)
    return columns <= rows + (value_length - query_length)


def sliding_window_mask(
    query_length: Tensor, value_length: Tensor, causal: bool = False, window: int | None = None
) -> Tensor:
    """Mask `(Tq, Tv)` of the positions that a query reaches, aligned to the end.

    Args:
        query_length, value_length: integers or scalar tensors.
        causal: whether none later than the query's own, see `causal_mask`.
        window: how many on each side, the query's own counted; None for all.
    """
    rows = ops.expand_dims(ops.arange(query_length), 1) + (value_length - query_length)
    columns = ops.expand_dims(ops.arange(value_length), 0)
    reach = columns <= rows if causal else columns < value_length + 0 * rows
    if window is not None:
        reach = ops.logical_and(reach, columns > rows - window)
        reach = ops.logical_and(reach, columns < rows + window)
    return reach


def combine_masks(
    value_mask: Tensor | None = None,
    attention_mask: Tensor | None = None,
    causal: Tensor | None = None,
) -> Tensor:
    """One mask that broadcasts to scores `(B, Tq, Tv)`, or None if everything may be seen.

    Args:
        value_mask: `(B, Tv)`, which values are no padding.
        attention_mask: `(B, Tq, Tv)` or `(Tq, Tv)`, which query may see which value; with heads
            also `(B, H, Tq, Tv)`, and so is the result then.
        causal: `(Tq, Tv)`, see `causal_mask`.
    """
    masks = [] if value_mask is None else [ops.expand_dims(value_mask, 1)]
    masks += [mask for mask in (attention_mask, causal) if mask is not None]
    masks = [ops.cast(mask, "bool") for mask in masks]
    masks = [ops.expand_dims(mask, 0) if len(mask.shape) == 2 else mask for mask in masks]
    if any(len(mask.shape) == 4 for mask in masks):
        masks = [ops.expand_dims(mask, 1) if len(mask.shape) == 3 else mask for mask in masks]
    return functools.reduce(ops.logical_and, masks) if masks else None


def attended(mask: Tensor) -> Tensor:
    """Values that any query of any head may see: `(B, [H,] Tq, Tv)` to `(B, Tv)`."""
    return ops.any(mask, axis=tuple(range(1, len(mask.shape) - 1)))


def zero_masked(x: Tensor, mask: Tensor) -> Tensor:
    """`x (B, T, D)` with zeros where `mask (B, T)` is False.

    A weight of 0 is not enough to keep a masked position out: 0 * NaN is NaN, in the context and
    in the gradients of every projection the position goes through. So it is taken out up front.
    """
    return ops.where(ops.expand_dims(mask, -1), x, ops.zeros((), dtype=x.dtype))


def split_nonfinite(x: Tensor) -> tuple[Any, Any]:
    """`x (..., T, D)` without its infinities and NaNs, and which steps `(..., T)` had any."""
    finite = ops.isfinite(x)
    clean = ops.where(finite, x, ops.zeros((), dtype=x.dtype))
    return clean, ops.logical_not(ops.all(finite, axis=-1))


def hiding_bias(bias: Tensor) -> Tensor:
    """A bias of the scores, of floats, with minus infinity where it is as low as its dtype can be.

    `finfo.min` of half precision says the same as minus infinity, but is a number among others in
    the float32 of the scores.
    """
    bias = as_float(ops.convert_to_tensor(bias))
    dtype = keras.backend.standardize_dtype(bias.dtype)
    if dtype not in _LOWEST_OF_HALVES:
        return bias
    low = bias <= ops.convert_to_tensor(_LOWEST_OF_HALVES[dtype], dtype)
    return ops.where(low, ops.convert_to_tensor(-np.inf, dtype), bias)


_LOWEST_OF_HALVES = {"float16": -65504.0, "bfloat16": -(2.0**128 - 2.0**120)}
