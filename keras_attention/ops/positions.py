"""Encodings of positions: sinusoids, rotations, slopes and buckets."""

import math
from typing import Any

import numpy as np
from keras import ops

from keras_attention._types import Tensor
from keras_attention.ops.precision import as_float, at_least_float32

PAIRS = ("halves", "adjacent")


def step_positions(count: Any, start: Tensor = 0) -> Tensor:
    """`start, start + 1, ...`: int32 `(count,)`, or `(B, count)` for a `start` of shape `(B,)`."""
    start = ops.cast(ops.convert_to_tensor(start), "int32")
    return ops.expand_dims(start, -1) + ops.arange(count, dtype="int32")


def sinusoids(
    positions: Any, features: Tensor, base: float = 10000.0, dtype: Any = "float32"
) -> Tensor:
    """`sin(p / base^(2i/D))` as feature 2i and the cosine as feature 2i + 1: `(..., D)`.

    Args:
        positions: int `(...)`.
        features: D.
        base: the slowest wave has almost this length times 2 pi.
        dtype: of the result and of the angles, float32 or float64.

    Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.5.
    """
    angles = _angles(positions, features, base, dtype)
    waves = ops.stack([ops.sin(angles), ops.cos(angles)], axis=-1)
    both = 2 * angles.shape[-1]
    return ops.reshape(waves, (*ops.shape(positions), both))[..., :features]


def rotate(x: Tensor, positions: Any, base: float = 10000.0, pairs: str = "halves") -> Tensor:
    """`x (..., T, D)` with each pair of features turned by `position / base^(2i/D)`.

    The dot product of two vectors so turned depends on their positions by the difference alone.

    Args:
        x: `(B, T, D)` or `(B, H, T, D)`, D even.
        positions: int `(T,)` or `(B, T)`.
        base: as of `sinusoids`.
        pairs: `"halves"`, feature i with feature i + D/2, or `"adjacent"`, 2i with 2i + 1.

    Reference: Su et al., 2021, https://arxiv.org/abs/2104.09864, section 3.2.
    """
    x = as_float(x)
    features = x.shape[-1]
    wide = ops.cast(x, at_least_float32(x.dtype))
    angles = _angles(positions, features, base, wide.dtype)
    if len(angles.shape) == 3 and len(x.shape) == 4:
        angles = ops.expand_dims(angles, 1)
    cos, sin = ops.cos(angles), ops.sin(angles)
    if pairs == "halves":
        a, b = ops.split(wide, 2, axis=-1)
        turned = ops.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)
    else:
        a, b = wide[..., 0::2], wide[..., 1::2]
        turned = ops.stack([a * cos - b * sin, a * sin + b * cos], axis=-1)
        turned = ops.reshape(turned, ops.shape(x))
    return ops.cast(turned, x.dtype)


def alibi_slopes(num_heads: int) -> Tensor:
    """The slopes of ALiBi, a list of floats: `2^(-8 h / H)` for h from 1 to H, a power of 2.

    For another H: those of the power of 2 below, and then every second of the one above.

    Reference: Press, Smith and Lewis, 2022, https://arxiv.org/abs/2108.12409, section 3.
    """
    below = 2 ** int(math.log2(num_heads))
    slopes = [2.0 ** (-8 * h / below) for h in range(1, below + 1)]
    between = [2.0 ** (-8 * h / (2 * below)) for h in range(1, 2 * below, 2)]
    return slopes + between[: num_heads - below]


def relative_buckets(num_buckets: int, max_distance: int, bidirectional: bool = True) -> Tensor:
    """T5's bucket of each distance from `-max_distance` to `max_distance`, value minus query.

    Half of the buckets of a side hold one distance each, the others stretch as a logarithm up to
    `max_distance`, and the last one holds all beyond.

    Args:
        num_buckets: number of buckets, of both sides together if bidirectional.
        max_distance: from here on all distances share a bucket.
        bidirectional: whether values after the query have buckets of their own; else they have 0.

    Returns:
        NumPy int32 `(2 max_distance + 1,)`.

    Reference: Raffel et al., 2020, https://arxiv.org/abs/1910.10683, section 2.1.
    """
    count = num_buckets // 2 if bidirectional else num_buckets
    exact = count // 2
    # The smallest distance of each bucket after the exact ones, but for the rounding of powers.
    parts = np.arange(1, count - exact) / (count - exact)
    starts = np.ceil(exact * (max_distance / exact) ** parts - 1e-9)
    distances = np.arange(-max_distance, max_distance + 1)
    near = np.abs(distances) if bidirectional else np.maximum(-distances, 0)
    far = exact + np.searchsorted(starts, near, side="right")
    buckets = np.where(near < exact, near, far)
    if bidirectional:
        buckets = buckets + count * (distances > 0)
    return buckets.astype("int32")


def _angles(positions: Any, features: Tensor, base: float, dtype: Any) -> Tensor:
    rates = base ** (-2.0 * np.arange((features + 1) // 2) / features)
    rates = ops.convert_to_tensor(rates, dtype)
    return ops.expand_dims(ops.cast(positions, dtype), -1) * rates
