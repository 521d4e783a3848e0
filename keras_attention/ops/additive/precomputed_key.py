"""The additive score of queries that come one after another to the same key, as in a search.

With `d = 1 + e^2q e^2k`, `tanh(q + k) = 1 - 2 / d`. The exponential of the key is computed once for
all queries, and one division serves four units, since `a / b + c / d = (a d + c b) / (b d)`. Where
XLA makes one loop of it, that is much less than a tangent for each.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_attention._types import Tensor
from keras_attention._xla import compiled_by_xla
from keras_attention.ops.additive.exact_range import within
from keras_attention.ops.precision import at_least_float32
from keras_attention.ops.scores import plain_additive_scores

# Of the key, for `e^2k` to be neither 0 nor infinite. Then a query beyond its own limit is as good
# as there: the tangent is 1 or -1.
KEY_LIMIT = 20.0
QUERY_LIMIT = 30.0
# For `1 - 2 / d` to be 1 in float32, and the product of four to be finite, also times a vector.
MOST = 5e8
VECTOR_LIMIT = 1e9
FINITE = float(np.finfo("float32").max)
# So many tangents cost less than to decide whether they are needed.
LITTLE = 1 << 16
# Units that share a division.
GROUP = 4


class PrecomputedKey(NamedTuple):
    """A projected key and what of its scores depends on no query: see `precompute_key`."""

    key: Any  # (B, Tv, U)
    exp_2k: Any  # e^2key: four of (B, Tv, U / 4)
    is_in_range: Any  # boolean (B,): whether scores of `exp_2k` are as exact as those of `key`


def precompute_key(key: Tensor) -> Tensor:
    """`key (B, Tv, U)` for `additive_scores` of many queries, one call after another.

    Returns:
        A `PrecomputedKey`, or `key` where nothing is gained: without XLA, and in float64.
    """
    dtype = at_least_float32(key.dtype)
    if dtype == "float64" or not compiled_by_xla():
        return key
    key = ops.cast(key, dtype)
    return PrecomputedKey(key, _exp_2x(key), ops.all(ops.abs(key) <= KEY_LIMIT, axis=(1, 2)))


def precomputed_scores(query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
    """`(B, Tq, Tv)` of `query (B, Tq, U)`, `key` a `PrecomputedKey` and `vector (U,)`."""

    def fast() -> Tensor:
        exp_2q = _exp_2x(ops.clip(query, -QUERY_LIMIT, QUERY_LIMIT))
        pairs = zip(exp_2q, key.exp_2k, strict=True)
        denominators = [1 + ops.minimum(q[:, :, None] * k[:, None], MOST) for q, k in pairs]
        numerator, denominator = _sum(list(zip(_in_group(vector), denominators, strict=True)))
        return ops.sum(vector) - 2 * ops.sum(numerator / denominator, axis=-1)

    def exact() -> Tensor:
        return plain_additive_scores(query, key.key, vector)

    sizes = (*query.shape, key.key.shape[1])
    if None not in sizes and math.prod(sizes) <= LITTLE:
        return exact()
    # XLA before TensorFlow 2.21 loses a NaN in minima and maxima.
    is_fast = ops.logical_and(within(VECTOR_LIMIT, vector), within(FINITE, query))
    is_fast = ops.logical_and(ops.all(key.is_in_range), is_fast)
    return ops.cond(is_fast, fast, exact)


def _exp_2x(x: Tensor) -> Tensor:
    return [ops.exp(2 * part) for part in _in_group(x)]


def _in_group(x: Tensor) -> Tensor:
    """`(..., U)` as four of `(..., U / 4)`, zeros added where they are needed."""
    lacking = -x.shape[-1] % GROUP
    x = ops.pad(x, [[0, 0]] * (len(x.shape) - 1) + [[0, lacking]]) if lacking else x
    return ops.split(x, GROUP, axis=-1)


def _sum(quotients: Tensor) -> Any:
    """The sum of `a / b` for all `(a, b)` as one quotient."""
    if len(quotients) == 1:
        return quotients[0]
    middle = len(quotients) // 2
    (a, b), (c, d) = _sum(quotients[:middle]), _sum(quotients[middle:])
    return a * d + c * b, b * d
