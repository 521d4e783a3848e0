"""The highest numbers of a row on PyTorch, whose `topk` has equals in any order."""

import torch


def highest(x, count):
    """Values and places: see `keras_attention.decoding.gather`."""
    values, places = torch.sort(x, dim=-1, descending=True, stable=True)
    return values[..., :count], places[..., :count]
