"""Checks for what a SavedModel cannot keep as Keras means it."""

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def check_servable(model: Any, has_unknown_steps: bool = False) -> None:
    """Refuses models that would not be served as they are.

    Args:
        model: a built Keras model.
        has_unknown_steps: whether sequences are of any length wherever they are in the model.

    Raises:
        ValueError: an optional input, which no signature has; a `TimeDistributed` over steps whose
            number is not known, where Keras takes the batch for the steps in graphs.
    """
    for tensor in getattr(model, "inputs", None) or ():
        if getattr(tensor._keras_history.operation, "optional", False):
            raise ValueError(
                "Expected inputs that every request has: those of a signature are not optional. "
                f"Received: optional input {tensor.name!r}"
            )
    for layer in model._flatten_layers():
        if not isinstance(layer, keras.layers.TimeDistributed):
            continue
        if (has_unknown_steps or _steps_unknown(layer)) and _takes_batch_for_steps():
            raise ValueError(
                "Expected TimeDistributed over a known number of steps, since that of Keras "
                f"{keras.__version__} goes wrong in graphs that do not know it; most layers, such "
                "as Dense, need none. "
                f"Received: layer {layer.name!r}"
            )


def _steps_unknown(layer: Any) -> bool:
    shapes = [shape for shape in (layer.get_build_config() or {}).values() if _is_shape(shape)]
    for node in layer._inbound_nodes:
        shapes += [tensor.shape for tensor in node.input_tensors[:1]]
    return not shapes or any(shape[1] is None for shape in shapes)


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, tuple | list) and len(shape) > 2


@functools.cache
def _takes_batch_for_steps() -> bool:
    """True if this version of Keras takes the batch for steps, tried with an example."""
    layer = keras.layers.TimeDistributed(keras.layers.Rescaling(1.0))
    spec = tf.TensorSpec((None, None, 1), tf.float32)
    graph = tf.function(layer.call, input_signature=[spec])
    x = np.arange(10.0, dtype="float32").reshape(2, 5, 1)
    layer.build(x.shape)
    return graph(tf.constant(x)).shape != x.shape
