"""The additive score as products of matrices, for backends that run one operation after another.

There, every elementwise operation costs a trip to memory; what is cheap is arithmetic inside a
matrix product. So several units share each trip. With `s = q + k` of a group of m units and all
2^m sign vectors,

    sum_u v_u tanh(s_u) = (sum_signs (signs . v) e^(signs . s)) / (sum_signs e^(signs . s))

since `tanh(s_u)` is the mean of the u-th sign under weights `e^(signs . s)`. Each exponential is a
product of one of q and one of k, so numerator and denominator are products of matrices, and one
elementwise division serves m units. No sum in the denominator cancels: the result is as exact as
`tanh`, as long as nothing overflows; beyond `LIMIT` the plain formula is taken, in slabs too.

Backwards, for two units with `c = e^s + e^-s`, the slope `sech(s_1)^2 = 4 c_2^2 / (c_1 c_2)^2`:
one division by `(c_1 c_2)^2`, a sum of nine exponentials, and what remains is products of matrices.

All work on a slab: some units, all pairs of steps. A backend brings the loop over the slabs.
"""

import itertools
import math
from typing import Any

import numpy as np
from keras import ops

from keras_attention._types import Tensor
from keras_attention.ops.additive.exact_range import has_large_tangents, within

# The largest |q| and |k|. Denominators are below e^(8 * 8), and a gradient over one is not lost.
LIMIT = 8.0
# Units that share a division.
SCORE_GROUP = 4
GRADIENT_GROUP = 2

_SIGN = (1.0, -1.0)
_POWER = (-2.0, 0.0, 2.0)
_SIGNS = np.array(list(itertools.product(_SIGN, repeat=SCORE_GROUP)))  # (16, 4)
_POWERS = np.array(list(itertools.product(_POWER, repeat=GRADIENT_GROUP)))  # (9, 2)
# (e^s + e^-s)^2 = e^-2s + 2 + e^2s: the coefficient of each power, of either unit.
_COEFFICIENTS = 2 - np.abs(_POWERS) / 2
_OTHER = _COEFFICIENTS[:, ::-1]
# From the nine sums over powers: the slopes of both units, then their hyperbolic tangents.
_READ = np.concatenate([4 * _OTHER * (_POWERS == 0), _OTHER * _POWERS / 2], axis=1)  # (9, 4)


def scores_are_exact(query: Tensor, key: Tensor) -> Tensor:
    """True if `scores` may be used."""
    return within(LIMIT, query, key)


def gradients_are_exact(query: Tensor, key: Tensor) -> Tensor:
    """True if `gradients` may be used."""
    return ops.logical_and(within(LIMIT, query, key), has_large_tangents(query, key))


def in_groups(x: Tensor, size: Any) -> Tensor:
    """`(B, T, U)` to `(U / size, B, size, T)`: the steps of a unit side by side."""
    batch, length, units = ops.shape(x)
    x = ops.reshape(x, (batch, length, units // size, size))
    return ops.transpose(x, (2, 0, 3, 1))


def out_of_groups(x: Tensor) -> Tensor:
    """Undoes `in_groups`."""
    groups, batch, size, length = ops.shape(x)
    return ops.reshape(ops.transpose(x, (1, 3, 0, 2)), (batch, length, groups * size))


def padded(x: Tensor, size: Any) -> Tensor:
    """`(..., U)` with zeros added to fill the last group."""
    lacking = -x.shape[-1] % size
    return ops.pad(x, [[0, 0]] * (len(x.shape) - 1) + [[0, lacking]]) if lacking else x


def scores(query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
    """Sum over some groups, `(B, Tq, Tv)`.

    Args:
        query: `(G, B, 4, Tq)`.
        key: `(G, B, 4, Tv)`.
        vector: `(G, 4)`.
    """
    left, right = _exponentials(query, _SIGN), _exponentials(key, _SIGN)
    signed = ops.expand_dims(ops.matmul(vector, ops.cast(_SIGNS.T, vector.dtype)), (1, 3))
    means = _product(left * signed, right) / _product(left, right)
    return _sum(ops.ones_like(vector[:, 0]), means)


def gradients(query: Tensor, key: Tensor, upstream: Tensor) -> tuple[Any, Any, Any]:
    """Gradients of some groups, those by query and key without the factor `vector`.

    Args:
        query: `(G, B, 2, Tq)`.
        key: `(G, B, 2, Tv)`.
        upstream: `(B, Tq, Tv)`.

    Returns:
        `(G, B, 2, Tq)`, `(G, B, 2, Tv)` and `(G, 2)`.
    """
    left, right = _exponentials(query, _POWER), _exponentials(key, _POWER)
    coefficients = ops.expand_dims(ops.cast(np.prod(_COEFFICIENTS, axis=1), query.dtype), 1)
    slab = upstream / _product(left * coefficients, right)
    over_keys = ops.swapaxes(ops.matmul(slab, ops.swapaxes(right, -1, -2)), -1, -2)
    read = ops.cast(_READ.T, query.dtype)
    by_query = ops.matmul(read, left * over_keys)
    by_key = ops.matmul(read[:GRADIENT_GROUP], right * ops.matmul(left, slab))
    by_vector = ops.sum(ops.sum(by_query[:, :, GRADIENT_GROUP:], axis=3), axis=1)
    return by_query[:, :, :GRADIENT_GROUP], by_key, by_vector


def exact_scores(query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
    """As `scores`, by `tanh` of every pair. Groups of one unit."""
    return _sum(vector[:, 0], ops.tanh(ops.swapaxes(query, -1, -2) + key))


def exact_gradients(query: Tensor, key: Tensor, upstream: Tensor) -> tuple[Any, Any, Any]:
    """As `gradients`, by exponentials of every pair. Groups of one unit."""
    slab = ops.swapaxes(query, -1, -2) + key
    by_vector = ops.sum(ops.sum(upstream * ops.tanh(slab), axis=(2, 3)), axis=1)
    # sech^2 without cancellation and overflow; 1 - tanh^2 has no digit left where it is small.
    decay = ops.exp(-2 * ops.abs(slab))
    slab = upstream * (4 * decay / ops.square(1 + decay))
    return (
        ops.expand_dims(ops.sum(slab, axis=3), 2),
        ops.expand_dims(ops.sum(slab, axis=2), 2),
        ops.expand_dims(by_vector, 1),
    )


def _exponentials(x: Tensor, powers: Tensor) -> Tensor:
    """`(G, B, m, T)` to `(G, B, len(powers)^m, T)`: `e^(p . x)` for every choice p of m powers.

    As products: the exponential of a sum would have the rounding of the sum in its exponent.
    """
    groups, batch, units, length = ops.shape(x)
    single = ops.exp(ops.expand_dims(x, 3) * ops.cast(np.array(powers)[:, None], x.dtype))
    single = ops.reshape(single, (groups, batch, units * len(powers), length))
    choices = np.array(list(itertools.product(range(len(powers)), repeat=units)))
    rows = choices + len(powers) * np.arange(units)  # of `single`: (len(powers)^m, m)
    return math.prod(ops.take(single, rows[:, unit], axis=2) for unit in range(units))


def _product(left: Tensor, right: Tensor) -> Tensor:
    """`(G, B, rows, Tq)` and `(G, B, rows, Tv)` to `(G, B, Tq, Tv)`."""
    return ops.matmul(ops.swapaxes(left, -1, -2), right)


def _sum(weights: Tensor, slabs: Tensor) -> Tensor:
    """`(G,)` and `(G, B, Tq, Tv)` to `(B, Tq, Tv)`. A product of matrices: quicker than a sum."""
    shape = ops.shape(slabs)
    total = ops.matmul(ops.expand_dims(weights, 0), ops.reshape(slabs, (shape[0], -1)))
    return ops.reshape(total, shape[1:])
