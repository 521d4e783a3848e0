"""Dtypes of sums."""

from typing import Any

import keras
from keras import ops

from keras_attention._types import Tensor


def at_least_float32(dtype: Any) -> str:
    """The dtype to compute scores and softmax in: float64 for float64, float32 for all others.

    float16 overflows at 65504, which a dot product of two moderate vectors reaches, and bfloat16
    keeps 8 bits, too few to tell two scores of size 100 apart. Integers have no fractions at all.
    """
    return "float64" if keras.backend.standardize_dtype(dtype) == "float64" else "float32"


def as_float(x: Tensor) -> Tensor:
    """`x` as it is if it is of floats; integers and booleans as float32."""
    is_float = "float" in keras.backend.standardize_dtype(x.dtype)
    return x if is_float else ops.cast(x, "float32")
