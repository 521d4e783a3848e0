"""Monotonic attention: where a reader stands who stops at memory steps and never goes back."""

from typing import Any

import keras
from keras import ops

from keras_attention._types import Tensor
from keras_attention.ops.decaying_sum import decaying_sum
from keras_attention.ops.precision import as_float
from keras_attention.ops.softmax import HIDDEN, LOWEST

# A score that stops nobody: its sigmoid is 0 and the logarithm of the rest is 0, exactly.
NEVER = -1e4


def expected_alignment(scores: Tensor, previous: Tensor) -> Tensor:
    """Expected alignment of monotonic attention: `(B, Tv)` for one query.

    `alpha_j = p_j q_j` with `q_j = (1 - p_{j-1}) q_{j-1} + previous_j` and `p = sigmoid(scores)`.
    The mass of a row is at most that of the row before; what is lost has run past the end.

    Args:
        scores: `(B, Tv)`, float32 at least; `NEVER` or lower where nobody may stop.
        previous: `(B, Tv)`, where the reader stood.

    Reference: Raffel et al., 2017, https://arxiv.org/abs/1704.00784, equation 9.
    """
    scores, previous = ops.clip(as_float(scores), NEVER, -NEVER), as_float(previous)
    passes = ops.pad(ops.log_sigmoid(-scores), [[0, 0], [1, 0]])[:, :-1]
    return ops.sigmoid(scores) * decaying_sum(passes, previous)


def hard_alignment(scores: Tensor, previous: Tensor) -> Tensor:
    """The first step with `sigmoid(score) > 0.5` from where the reader stands on: `(B, Tv)`.

    All zeros where there is none, and from then on.

    Args:
        scores: `(B, Tv)`, negative where nobody may stop.
        previous: `(B, Tv)`, 1 where the reader stands, 0 elsewhere.

    Reference: Raffel et al., 2017, https://arxiv.org/abs/1704.00784, algorithm 1.
    """
    previous = as_float(previous)
    dtype = previous.dtype
    ahead = ops.cumsum(previous, axis=-1) > 0.5
    stops = ops.cast(ops.logical_and(ahead, scores > 0), "int32")
    first = ops.equal(ops.cumsum(stops, axis=-1) * stops, 1)
    return ops.cast(first, dtype)


def first_step(batch: Tensor, length: Any, dtype: Any) -> Tensor:
    """An alignment with the first step alone: where every reader starts."""
    row = ops.cast(ops.equal(ops.arange(length), 0), dtype)
    return ops.broadcast_to(ops.expand_dims(row, 0), (batch, length))


def chunkwise(alignment: Tensor, scores: Tensor, mask: Tensor, size: Any) -> Tensor:
    """Spreads the mass of each step over the `size` steps that end there.

    `beta_j = sum_k alignment_k exp(u_j) / sum_l exp(u_l)`, k from j to j + size - 1 and l from
    k - size + 1 to k: a softmax of its own for every chunk, so that scores far above those of a
    chunk cannot wipe it out.

    Args:
        alignment: `(B, Tq, Tv)`.
        scores: u, `(B, Tq, Tv)`, float32 at least.
        mask: boolean, broadcastable to the scores, or None.
        size: steps in a chunk.

    Reference: Chiu and Raffel, 2018, https://arxiv.org/abs/1712.05382, equation 17.
    """
    alignment, scores = as_float(alignment), as_float(scores)
    visible = ops.logical_not(scores <= HIDDEN)
    mask = visible if mask is None else ops.logical_and(mask, visible)
    windows = ops.stack([_shifted(scores, back, 0.0) for back in range(size)], axis=-1)
    seen = ops.stack([_shifted(mask, back, False) for back in range(size)], axis=-1)
    windows = ops.where(seen, windows, LOWEST)
    top = ops.max(windows, axis=-1, keepdims=True, initial=LOWEST)
    windows = windows - ops.stop_gradient(top)
    shares = ops.where(seen, ops.exp(windows), 0.0)
    # A chunk with nothing in it: a step where nobody stops. The 1 takes no part elsewhere.
    total = ops.sum(shares, axis=-1)
    shares = (
        shares
        / ops.expand_dims(ops.where(total > 0, total, 1.0), -1)
        * ops.expand_dims(alignment, -1)
    )
    return sum(_shifted(shares[..., back], -back, 0.0) for back in range(size))


def _shifted(x: Tensor, steps: Tensor, fill: Tensor) -> Tensor:
    """`x` moved along the last axis: position j holds what stood at j - steps."""
    if steps == 0:
        return x
    padding = [[0, 0]] * (len(x.shape) - 1)
    if keras.backend.standardize_dtype(x.dtype) == "bool":
        return ops.cast(_shifted(ops.cast(x, "int32"), steps, 0), "bool")
    if steps > 0:
        return ops.pad(x, [*padding, [steps, 0]], constant_values=fill)[..., :-steps]
    return ops.pad(x, [*padding, [0, -steps]], constant_values=fill)[..., -steps:]
