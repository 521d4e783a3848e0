"""The longest source that an exported model reads."""

import tensorflow as tf

from keras_attention._types import Tensor
from keras_attention.layers import LearnedPositions
from keras_attention.models import Seq2Seq

# Of models whose layers do not tell; a multiple of what sentences have.
MAX_SOURCE_LENGTH = 1024


def default_source_limit(model: Seq2Seq) -> int:
    """1024 tokens, or as many as the model has learned positions for."""
    tables = [
        layer.max_length for layer in model._flatten_layers() if isinstance(layer, LearnedPositions)
    ]
    return min([MAX_SOURCE_LENGTH, *tables])


def cut(ids: Tensor, lengths: Tensor, limit: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """The first `limit` tokens of each row, one step at least.

    Args:
        ids: int32 `(B, T)`.
        lengths: int32 `(B,)`, how many of them count.
        limit: most tokens, a positive integer; None for any.

    Returns:
        Ids `(B, T')`, lengths `(B,)`, and whether something was cut off, boolean `(B,)`.
    """
    steps = tf.shape(ids)[1]
    limit = steps if limit is None else limit
    truncated = tf.minimum(lengths, steps) > limit
    ids = tf.pad(ids[:, :limit], [[0, 0], [0, tf.maximum(1 - steps, 0)]])
    return ids, tf.minimum(lengths, limit), truncated
