"""Which dtype a sum is taken in."""

import keras


def wide_dtype(dtype):
    """The dtype to compute scores and softmax in: `dtype`, but float32 at least.

    float16 overflows at 65504, which a dot product of two moderate vectors reaches, and bfloat16
    keeps 8 bits, too few to tell two scores of size 100 apart.
    """
    dtype = keras.backend.standardize_dtype(dtype)
    return "float32" if dtype in ("float16", "bfloat16") else dtype
