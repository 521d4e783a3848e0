"""The weighted sum of the values."""

import keras
from keras import ops

from keras_attention._types import Tensor
from keras_attention.ops.precision import as_float


def weighted_sum(weights: Tensor, value: Tensor) -> Tensor:
    """Context `(..., Tq, Dv)` of `weights (..., Tq, Tv)` and `value (..., Tv, Dv)`.

    In the dtype of `value`, float32 for integers: weights sum to 1 at most, so the sum cannot
    overflow.
    """
    value = as_float(value)
    weights = ops.cast(weights, value.dtype)
    if weights.shape[-2] == 1 and keras.backend.backend() == "tensorflow":
        from keras_attention.ops.weighted_sum_tensorflow import weighted_sum_of_one

        return weighted_sum_of_one(weights, value)
    return ops.matmul(weights, value)
