"""The weighted sum of the values."""

from keras import ops


def mix(weights, value):
    """Context `(..., Tq, Dv)` of `weights (..., Tq, Tv)` and `value (..., Tv, Dv)`.

    In the dtype of `value`: weights sum to 1 at most, so the sum cannot overflow.
    """
    return ops.matmul(ops.cast(weights, value.dtype), value)
