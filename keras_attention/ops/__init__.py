"""Pure functions of tensors: no weights, no layers, `keras.ops` only."""

from keras_attention.ops.additive import additive_scores as additive_scores
from keras_attention.ops.dot_product import dot_product_attention as dot_product_attention
from keras_attention.ops.masks import blank as blank
from keras_attention.ops.masks import causal_mask as causal_mask
from keras_attention.ops.masks import combine_masks as combine_masks
from keras_attention.ops.masks import reach_mask as reach_mask
from keras_attention.ops.masks import split_nonfinite as split_nonfinite
from keras_attention.ops.masks import visible as visible
from keras_attention.ops.mix import mix as mix
from keras_attention.ops.recurrent_attention import (
    has_recurrent_attention as has_recurrent_attention,
)
from keras_attention.ops.recurrent_attention import recurrent_attention as recurrent_attention
from keras_attention.ops.scores import dot_scores as dot_scores
from keras_attention.ops.softmax import masked_softmax as masked_softmax

__all__ = [
    "additive_scores",
    "blank",
    "causal_mask",
    "combine_masks",
    "dot_product_attention",
    "dot_scores",
    "has_recurrent_attention",
    "masked_softmax",
    "mix",
    "reach_mask",
    "recurrent_attention",
    "split_nonfinite",
    "visible",
]
