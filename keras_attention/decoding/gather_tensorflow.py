"""Look-ups on TensorFlow."""

import tensorflow as tf

from keras_attention._types import Tensor


def take_rows(x: Tensor, places: Tensor) -> Tensor:
    """One operation: see `keras_attention.decoding.gather`."""
    return tf.gather(x, places, batch_dims=1)
