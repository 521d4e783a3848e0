"""Ranking of hypotheses of different length in a beam search."""

from typing import Any

from keras import ops

from keras_attention._types import Tensor
from keras_attention.decoding.settings import LARGEST

# What a position of the source counts that was hardly attended to: log(0) would make all equal.
LEAST_COVERED = 1e-6
WORST = 1e30


def length_penalty(length: Any, alpha: Tensor) -> Tensor:
    """`((5 + length) / 6) ** alpha`, by which log-probabilities are divided.

    Reference: Wu et al., 2016, https://arxiv.org/abs/1609.08144, equation 14.
    """
    # An infinite one would make NaN of what is impossible.
    return ops.minimum(((5.0 + ops.cast(length, "float32")) / 6.0) ** alpha, LARGEST)


def coverage_penalty(coverage: Tensor, mask: Tensor, beta: Tensor) -> Tensor:
    """`beta * sum_j log(min(covered_j, 1))` over the positions j of the source: 0 or less.

    Args:
        coverage: float32 `(B, W, Tv)`, the attention that each position got so far.
        mask: boolean `(B, Tv)`, True = no padding.
        beta: weight, broadcastable to the result.

    Returns:
        float32 `(B, W)`.

    Reference: Wu et al., 2016, https://arxiv.org/abs/1609.08144, equation 14.
    """
    logs = ops.log(ops.clip(coverage, LEAST_COVERED, 1.0))
    # A score of -inf is that of no hypothesis.
    return ops.maximum(beta * ops.sum(ops.where(mask[:, None], logs, 0.0), axis=-1), -WORST)
