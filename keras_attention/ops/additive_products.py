"""The additive score as products of matrices, for backends that run one operation after another.

There, every elementwise operation costs a trip to memory; what is cheap is arithmetic inside a
matrix product. So several units share each trip. With `s = q + k` of a group of m units and all
2^m sign vectors,

    sum_u v_u tanh(s_u) = (sum_signs (signs . v) e^(signs . s)) / (sum_signs e^(signs . s))

since `tanh(s_u)` is the mean of the u-th sign under weights `e^(signs . s)`. Each exponential is a
product of one of q and one of k, so numerator and denominator are products of matrices, and one
elementwise division serves m units. No sum in the denominator cancels: the result is as exact as
`tanh`, as long as nothing overflows; beyond `LIMIT` the plain formula is taken, in slabs too.

Backwards, for two units with `e^s + e^-s = c`, the slope `sech(s_1)^2 = 4 c_2^2 / (c_1 c_2)^2`: one
division by `(c_1 c_2)^2`, a sum of nine exponentials, and what remains is products of matrices again.

All work on a slab: some units, all pairs of steps. A backend brings the loop over the slabs.
"""

import itertools

import numpy as np
from keras import ops

# The largest |q| and |k|. Denominators are below e^(8 * 8), and a gradient over one is not lost.
LIMIT = 8.0
# Below so large a |q| or |k|, the gradient by `vector`, a sum of small tangents, would lose digits.
GRADIENT_FLOOR = 2.0
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


def largest(query, key):
    """The largest |q| or |k|, NaN if one of them is."""
    return ops.maximum(*(ops.max(ops.abs(x), initial=0) for x in (query, key)))


def scores_are_exact(largest):
    """Whether `scores` may be taken."""
    return largest <= LIMIT


def gradients_are_exact(largest):
    """Whether `gradients` may be taken."""
    return ops.logical_and(largest <= LIMIT, largest >= GRADIENT_FLOOR)


def in_groups(x, size):
    """`(B, T, U)` to `(groups, B, T, size)`: groups of units, zeros added to fill the last one."""
    units = x.shape[-1]
    groups = -(-units // size)
    x = ops.pad(x, [[0, 0], [0, 0], [0, groups * size - units]])
    batch, length, _ = ops.shape(x)
    return ops.transpose(ops.reshape(x, (batch, length, groups, size)), (2, 0, 1, 3))


def out_of_groups(x, units):
    """Undoes `in_groups`."""
    groups, batch, length, size = ops.shape(x)
    x = ops.reshape(ops.transpose(x, (1, 2, 0, 3)), (batch, length, groups * size))
    return x[:, :, :units]


def scores(query, key, vector):
    """Sum over some groups, `(B, Tq, Tv)`.

    Args:
        query: `(G, B, Tq, 4)`.
        key: `(G, B, Tv, 4)`.
        vector: `(G, 4)`.
    """
    left = _exponentials(query, _SIGN)
    right = ops.swapaxes(_exponentials(key, _SIGN), -1, -2)
    signed = ops.matmul(vector, ops.cast(_SIGNS.T, vector.dtype))[:, None, None, :]
    return ops.sum(ops.matmul(left * signed, right) / ops.matmul(left, right), axis=0)


def gradients(query, key, upstream):
    """Gradients of some groups: `(G, B, Tq, 2)`, `(G, B, Tv, 2)`, both without `vector`, and `(G, 2)`.

    Args:
        query: `(G, B, Tq, 2)`.
        key: `(G, B, Tv, 2)`.
        upstream: `(B, Tq, Tv)`.
    """
    read = ops.cast(_READ, query.dtype)
    coefficients = ops.cast(np.prod(_COEFFICIENTS, axis=1), query.dtype)
    left, right = _exponentials(query, _POWER), _exponentials(key, _POWER)
    slab = upstream / ops.matmul(left * coefficients, ops.swapaxes(right, -1, -2))
    by_query = ops.matmul(left * ops.matmul(slab, right), read)
    over_queries = ops.matmul(ops.swapaxes(left, -1, -2), slab)
    by_key = ops.matmul(right * ops.swapaxes(over_queries, -1, -2), read[:, :GRADIENT_GROUP])
    by_vector = ops.sum(ops.sum(by_query[..., GRADIENT_GROUP:], axis=2), axis=1)
    return by_query[..., :GRADIENT_GROUP], by_key, by_vector


def exact_scores(query, key, vector):
    """As `scores`, by `tanh` of every pair. Groups of one unit."""
    slab = ops.tanh(query + ops.swapaxes(key, -1, -2))
    return ops.sum(slab * vector[:, :, None, None], axis=0)


def exact_gradients(query, key, upstream):
    """As `gradients`, by exponentials of every pair. Groups of one unit."""
    slab = query + ops.swapaxes(key, -1, -2)
    by_vector = ops.sum(ops.sum(upstream * ops.tanh(slab), axis=(2, 3)), axis=1)
    # sech^2 without cancellation and overflow; 1 - tanh^2 has no digit left where it is small.
    decay = ops.exp(-2 * ops.abs(slab))
    slab = upstream * (4 * decay / ops.square(1 + decay))
    return ops.sum(slab, axis=3)[..., None], ops.sum(slab, axis=2)[..., None], by_vector[:, None]


def _exponentials(x, powers):
    """`(G, B, T, m)` to `(G, B, T, len(powers)^m)`: `e^(p . x)` for every choice p of m powers.

    As products: the exponential of a sum would have the rounding of the sum in its exponent.
    """
    groups, batch, length, size = ops.shape(x)
    single = ops.exp(x[..., None] * ops.cast(np.array(powers), x.dtype))
    product = single[..., 0, :]
    for unit in range(1, size):
        product = product[..., :, None] * single[..., unit, None, :]
        product = ops.reshape(product, (groups, batch, length, len(powers) ** (unit + 1)))
    return product
