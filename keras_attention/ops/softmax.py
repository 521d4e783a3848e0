"""The one softmax of the project."""

import numpy as np
from keras import ops

from keras_attention.ops.precision import wide_dtype


def masked_softmax(scores, mask=None):
    """Softmax over the last axis that gives masked positions weight 0.

    Computed in float32 at least. A row with nothing to attend to comes out all zeros, not NaN and
    not uniform, and its gradient is zero.

    Args:
        scores: float tensor `(..., Tq, Tv)`.
        mask: boolean, broadcastable to `scores`; True = may be attended to.

    Returns:
        Weights with the shape of `scores`, float32 (float64 for float64 scores).
    """
    scores = ops.cast(scores, wide_dtype(scores.dtype))
    if mask is None:
        return _softmax(scores)
    # Replaced, not lowered: whatever stood in a masked position, NaN included, is gone.
    lowest = float(np.finfo("float32").min)
    weights = _softmax(ops.where(mask, scores, lowest))
    return ops.where(mask, weights, ops.zeros((), dtype=weights.dtype))


def _softmax(scores):
    # A memory of one step is nothing unusual; `ops.softmax` warns that its weight is always 1.
    return scores * 0 + 1 if scores.shape[-1] == 1 else ops.softmax(scores, axis=-1)
