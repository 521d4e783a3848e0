"""The additive score. Here it is decided how a call computes it."""

import math

import keras
from keras import ops

from keras_attention._conversion import traced_for_conversion
from keras_attention._types import Shape, Tensor
from keras_attention.ops.additive.precomputed_key import PrecomputedKey, precomputed_scores
from keras_attention.ops.precision import at_least_float32
from keras_attention.ops.scores import plain_additive_scores

# `(B, Tq, Tv, U)` of so many elements costs less than what it takes to avoid it.
SMALL = 1 << 16
# With fewer units it is hardly larger than the scores.
FEW_UNITS = 8


def additive_scores(query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
    """`v . tanh(q + k)` for `query (B, Tq, U)`, `key (B, Tv, U)`, `vector (U,)`.

    `key` may also be what `precompute_key` made of it.

    Computed in float32 at least, and returned so: `(B, Tq, Tv)`. Memory is in proportion to
    `(B, Tq, Tv)` and to the inputs, in the gradient too; only for a single query, as of a decoder's
    step, few units or little work is `(B, Tq, Tv, U)` built; for a few queries, as of a beam, it
    may be for a moment, and for the gradient only if their number is not known beforehand.

    As exact as `tanh` for any input: infinities and NaN have the effect that they have there.
    Second-order gradients can be had; on PyTorch `(B, Tq, Tv, U)` is built for them. On a GPU
    and without XLA, as exact as the product of two float32 matrices is there.
    """
    if isinstance(key, PrecomputedKey):
        query, vector = (ops.cast(x, key.key.dtype) for x in (query, vector))
        return precomputed_scores(query, key, vector)
    dtype = at_least_float32(query.dtype)
    query, key, vector = (ops.cast(x, dtype) for x in (query, key, vector))
    if _is_little(query.shape, key.shape) or dtype == "float64" or traced_for_conversion():
        return plain_additive_scores(query, key, vector)
    if keras.backend.backend() == "tensorflow":
        from keras_attention.ops.additive.scores_tensorflow import scores
    elif keras.backend.backend() == "jax":
        from keras_attention.ops.additive.scores_jax import scores
    elif keras.backend.backend() == "torch":
        from keras_attention.ops.additive.scores_torch import scores
    else:
        scores = plain_additive_scores
    return scores(query, key, vector)


def _is_little(query_shape: Shape, key_shape: Shape) -> Tensor:
    """True if the plain formula is the fastest. Unknown sizes count as large."""
    if query_shape[1] == 1 or query_shape[2] < FEW_UNITS:
        return True
    sizes = (*query_shape, key_shape[1])
    return None not in sizes and math.prod(sizes) <= SMALL
