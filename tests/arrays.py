"""NumPy arrays of any backend's tensors, and comparisons of them."""

import keras
import numpy as np
from keras import ops


def as_float64(x):
    """Any tensor, bfloat16 and tensors with gradients included, as a float64 array."""
    if keras.ops.is_tensor(x) and keras.backend.standardize_dtype(x.dtype) == "bfloat16":
        x = ops.cast(x, "float32")  # NumPy has none
    x = ops.convert_to_numpy(x) if keras.ops.is_tensor(x) else x
    return np.asarray(x, dtype="float64")


def assert_close(found, expected, **kwargs):
    np.testing.assert_allclose(as_float64(found), as_float64(expected), **kwargs)


def assert_equal(found, expected, **kwargs):
    np.testing.assert_array_equal(as_float64(found), as_float64(expected), **kwargs)
