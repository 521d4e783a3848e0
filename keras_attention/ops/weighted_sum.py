"""The weighted sum of the values."""

import keras
from keras import ops

from keras_attention.ops.precision import as_float


def mix(weights, value):
    """Context `(..., Tq, Dv)` of `weights (..., Tq, Tv)` and `value (..., Tv, Dv)`.

    In the dtype of `value`, float32 for integers: weights sum to 1 at most, so the sum cannot
    overflow.
    """
    value = as_float(value)
    weights = ops.cast(weights, value.dtype)
    if weights.shape[-2] == 1 and keras.backend.backend() == "tensorflow":
        from keras_attention.ops.weighted_sum_tensorflow import mix_for_one

        return mix_for_one(weights, value)
    return ops.matmul(weights, value)
