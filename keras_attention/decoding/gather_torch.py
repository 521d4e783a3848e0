"""The highest numbers of a row on PyTorch, whose `topk` has equals in any order."""

import torch

from keras_attention._types import Tensor


def highest(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Values and places: see `keras_attention.decoding.gather`."""
    values, places = torch.sort(x, dim=-1, descending=True, stable=True)
    return values[..., :count], places[..., :count]
