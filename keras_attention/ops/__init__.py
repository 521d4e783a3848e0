"""Pure functions of tensors: no weights, no layers, `keras.ops` only."""

from keras_attention.ops.additive.scores import additive_scores as additive_scores
from keras_attention.ops.decaying_sum import decaying_sum as decaying_sum
from keras_attention.ops.dot_product.attention import dot_product_attention as dot_product_attention
from keras_attention.ops.masks import attended as attended
from keras_attention.ops.masks import causal_mask as causal_mask
from keras_attention.ops.masks import combine_masks as combine_masks
from keras_attention.ops.masks import sliding_window_mask as sliding_window_mask
from keras_attention.ops.masks import zero_masked as zero_masked
from keras_attention.ops.monotonic import chunkwise as chunkwise
from keras_attention.ops.monotonic import expected_alignment as expected_alignment
from keras_attention.ops.monotonic import hard_alignment as hard_alignment
from keras_attention.ops.mu_law import mu_law_decode as mu_law_decode
from keras_attention.ops.mu_law import mu_law_encode as mu_law_encode
from keras_attention.ops.probability import PROBABILITIES as PROBABILITIES
from keras_attention.ops.probability import entmax15 as entmax15
from keras_attention.ops.probability import gumbel_hardmax as gumbel_hardmax
from keras_attention.ops.probability import hardmax as hardmax
from keras_attention.ops.probability import normalized_sigmoid as normalized_sigmoid
from keras_attention.ops.probability import sigmoid as sigmoid
from keras_attention.ops.probability import sparsemax as sparsemax
from keras_attention.ops.scores import dot_scores as dot_scores
from keras_attention.ops.softmax import masked_softmax as masked_softmax

__all__ = [
    "PROBABILITIES",
    "additive_scores",
    "attended",
    "causal_mask",
    "chunkwise",
    "combine_masks",
    "decaying_sum",
    "dot_product_attention",
    "dot_scores",
    "entmax15",
    "expected_alignment",
    "gumbel_hardmax",
    "hard_alignment",
    "hardmax",
    "masked_softmax",
    "mu_law_decode",
    "mu_law_encode",
    "normalized_sigmoid",
    "sigmoid",
    "sliding_window_mask",
    "sparsemax",
    "zero_masked",
]
