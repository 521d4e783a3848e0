"""Vectors of sentences from those of their words."""

from keras import ops

from keras_attention._types import Tensor
from keras_attention.ops.precision import as_float


def encode_sentences(
    words: Tensor, mask: Tensor, positions: bool = True, tables: int = 1
) -> Tensor:
    """The sum of the words of each sentence, `(..., D)`; 0 of an empty one.

    With `positions` word j of J is weighted by `(1 - j / J) - (k / D) (1 - 2 j / J)` in feature k
    of D, j and k from 1 on, so that the order of the words counts. J is the length of the sentence
    without padding: how long the others are changes nothing.

    Args:
        words: `(..., W, D)`.
        mask: boolean `(..., W)`, True = a word, False = padding.
        positions: whether to weigh.
        tables: how many vectors of D / tables features, each numbered from 1, stand side by side.

    Reference: Sukhbaatar et al., 2015, https://arxiv.org/abs/1503.08895, section 4.1.
    """
    words = as_float(words)
    mask = ops.cast(mask, words.dtype)
    plain = _weighted_sum(mask, words)
    if not positions:
        return plain
    # The weight is a sum of two, each of which depends on the word alone or is that times k / D.
    number = ops.cumsum(mask, axis=-1)
    place = mask * number / ops.maximum(ops.sum(mask, axis=-1, keepdims=True), 1)
    size = words.shape[-1] // tables
    feature = ops.cast(ops.arange(tables * size) % size + 1, words.dtype) / size
    placed = _weighted_sum(place, words)
    return plain - placed - feature * (plain - 2 * placed)


def _weighted_sum(weights: Tensor, words: Tensor) -> Tensor:
    return ops.squeeze(ops.matmul(ops.expand_dims(weights, -2), words), axis=-2)
