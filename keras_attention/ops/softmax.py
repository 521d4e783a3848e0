"""The one softmax of the project."""

import numpy as np
from keras import ops

from keras_attention._types import Tensor
from keras_attention.ops.precision import at_least_float32

# What masked scores are replaced by. It is finite: the difference of two infinities is NaN.
LOWEST = float(np.finfo("float32").min)
# Scores so low hide a position as a mask does: minus infinity, `finfo.min` and what is near it.
HIDDEN = LOWEST / 2


def masked_softmax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax over the last axis that gives masked positions weight 0.

    Computed in float32 at least. A row with nothing to attend to comes out all zeros, not NaN and
    not uniform, and its gradient is zero. A score of minus infinity, or as low as `finfo.min`,
    hides its position as the mask does.

    Args:
        scores: tensor `(..., Tq, Tv)`.
        mask: boolean, broadcastable to `scores`; True = may be attended to.

    Returns:
        Weights with the shape of `scores`, float32 (float64 for float64 scores).
    """
    scores = ops.cast(scores, at_least_float32(scores.dtype))
    if mask is not None:
        # Replaced, not lowered: whatever stood in a masked position, NaN included, is gone.
        scores = ops.where(mask, scores, LOWEST)
    # What is so low beside a score that counts has weight 0 anyway: that leaves rows without one.
    nothing = ops.max(scores, axis=-1, keepdims=True, initial=LOWEST) <= HIDDEN
    visible = ops.logical_not(nothing)
    visible = visible if mask is None else ops.logical_and(mask, visible)
    weights = _softmax(ops.maximum(scores, LOWEST))
    return ops.where(visible, weights, ops.zeros((), dtype=weights.dtype))


def softmax_of_finite(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """`masked_softmax` of scores none of which hides anything, which spares two passes."""
    scores = ops.cast(scores, at_least_float32(scores.dtype))
    if mask is None:
        return _softmax(scores)
    weights = _softmax(ops.where(mask, scores, LOWEST))
    return ops.where(mask, weights, ops.zeros((), dtype=weights.dtype))


def _softmax(scores: Tensor) -> Tensor:
    if scores.shape[-1] == 0:
        return scores
    # A memory of one step is nothing unusual; `ops.softmax` warns that its weight is always 1.
    return scores * 0 + 1 if scores.shape[-1] == 1 else ops.softmax(scores, axis=-1)
