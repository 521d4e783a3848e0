"""Checkpoints, as TensorFlow alone reads them."""

from pathlib import Path
from typing import Any

import tensorflow as tf


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Everything in a checkpoint, by name."""
    reader = tf.train.load_checkpoint(path)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
