"""The highest numbers of a row, on all backends in the same order."""

import keras
from keras import ops


def highest(x, count):
    """The `count` highest of `x (..., N)`, the highest first, and their places, int32.

    Of equals the first comes first: on PyTorch `ops.top_k` has them in any order. And on TensorFlow
    `ops.argmax` costs six times as much as this, since it tells -0 from 0.
    """
    if keras.backend.backend() == "torch":
        import torch

        values, places = torch.sort(x, dim=-1, descending=True, stable=True)
        values, places = values[..., :count], places[..., :count]
    else:
        values, places = ops.top_k(x, count)
    return values, ops.cast(places, "int32")
