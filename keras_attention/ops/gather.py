"""Look-ups along the second axis, at places that are known to exist."""

import keras
from keras import ops


def take_rows(x, places):
    """`x (B, N, ...)` at `places`, int `(B, K)` from 0 to N - 1: `(B, K, ...)`.

    `keras.ops.take` and `take_along_axis` let places count from the end, too; on TensorFlow, where
    each operation of a step costs as much as its work, that is a third of what a beam does.
    """
    if keras.backend.backend() == "tensorflow":
        from keras_attention.ops import gather_tensorflow

        return gather_tensorflow.take_rows(x, places)
    batch, width, *rest = ops.shape(x)
    offsets = ops.arange(batch, dtype="int32")[:, None] * width
    rows = ops.reshape(x, (batch * width, *rest))
    return ops.take(rows, offsets + ops.cast(places, "int32"), axis=0)
