"""The weighted sum of the values for one query, a decoder's step, on TensorFlow."""

import math

import tensorflow as tf

from keras_attention._types import Tensor
from keras_attention._xla import compiled_by_xla

# Up to so many values, starting a product of matrices costs more than the sum itself.
FEW_VALUES = 1 << 15


def weighted_sum_of_one(weights: Tensor, value: Tensor) -> Tensor:
    """Context `(..., 1, Dv)` of `weights (..., 1, Tv)` and `value (..., Tv, Dv)`."""
    # A product adds in float32, whatever it is given; a sum of float16 need not.
    if compiled_by_xla() or value.dtype.size < 4:
        return tf.matmul(weights, value)
    if None not in value.shape:
        of = _sum if math.prod(value.shape) <= FEW_VALUES else tf.matmul
        return of(weights, value)
    return tf.cond(
        tf.size(value, out_type=tf.int64) <= FEW_VALUES,
        lambda: _sum(weights, value),
        lambda: tf.matmul(weights, value),
    )


def _sum(weights: Tensor, value: Tensor) -> Tensor:
    return tf.reduce_sum(tf.linalg.matrix_transpose(weights) * value, axis=-2, keepdims=True)
