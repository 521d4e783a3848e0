"""Detection of tensors whose values are known while Python runs, so that they can be checked."""

import numbers
from typing import Any

import keras
import numpy as np

from keras_attention._types import Tensor


def known_values(x: Tensor) -> np.ndarray[Any, Any] | None:
    """`x` as a NumPy array, or None where its values are known only when a graph runs.

    Args:
        x: a number, nested lists of numbers, an array, or a tensor of the backend.
    """
    if isinstance(x, numbers.Number | list | tuple | np.ndarray | np.generic):
        return np.asarray(x)
    if isinstance(x, keras.KerasTensor):
        return None
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.get_static_value(x) if tf.is_tensor(x) else None
    if backend == "jax":
        import jax

        return None if isinstance(x, jax.core.Tracer) else np.asarray(x)
    if backend == "torch":
        import torch

        traced = torch.compiler.is_compiling() or x.device.type == "meta"
        return None if traced else keras.ops.convert_to_numpy(x)
    return None
