"""Checks of the arguments of constructors and calls."""

from typing import Any

import keras
from keras import ops

from keras_attention._types import Initializer, Shape, Tensor
from keras_attention.ops import PROBABILITIES


def check_positive(**named: Any) -> int:
    """Returns the one named value if it is a positive integer; raises ValueError otherwise."""
    ((name, value),) = named.items()
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"Expected {name} to be a positive integer. Received: {name}={value!r}")
    return value


def clone_initializer(initializer: Initializer) -> Any:
    """A new initializer like this one: one object would fill every weight with the same numbers."""
    return keras.initializers.get(keras.initializers.serialize(initializer))


def check_probability(name: str) -> str:
    """Returns `name` if it names a function from scores to weights; raises ValueError otherwise."""
    if name not in PROBABILITIES:
        raise ValueError(
            f"Expected probability to be one of {tuple(PROBABILITIES)}. "
            f"Received: probability={name!r}"
        )
    return name


def check_sequence(name: str, shape: Shape) -> None:
    """Raises ValueError unless the shape is that of a sequence of vectors."""
    if len(shape) != 3:
        how = ""
        if len(shape) == 4:
            how = (
                "; of a feature map (batch, height, width, channels) "
                "keras.layers.Reshape((-1, channels)) makes one"
            )
        raise ValueError(
            f"Expected {name} of rank 3, (batch, steps, features){how}. "
            f"Received: {name}.shape={tuple(shape)}"
        )


def in_compute_dtype(layer: Any, x: Tensor) -> Any:
    """`x` in the compute dtype of the layer: Keras casts floats alone, and only in calls."""
    if x is None or keras.backend.standardize_dtype(x.dtype) == layer.compute_dtype:
        return x
    return ops.cast(x, layer.compute_dtype)
