"""Truncation of the distribution to sample from: functions of log-probabilities `(B, V)`.

Settings are numbers or tensors `(B,)`. The results are not normalised.
"""

from typing import Any

from keras import ops

from keras_attention._types import Tensor
from keras_attention.decoding.settings import by_example, is_number, is_off

# Far below what divides any two float32 numbers near 1: as good as 0 and safe to divide by.
COLDEST = 1e-30


def apply_temperature(log_probabilities: Tensor, temperature: Any) -> Tensor:
    """Divides by the temperature; at 0 only the likeliest tokens are left, at inf all are equal."""
    below_best = log_probabilities - ops.max(log_probabilities, axis=-1, keepdims=True)
    heated = below_best / ops.maximum(by_example(temperature, 2), COLDEST)
    # What is forbidden stays forbidden: -inf / inf is NaN.
    return ops.where(below_best > -float("inf"), heated, -float("inf"))


def truncate(
    log_probabilities: Tensor, top_k: Any = 0, top_p: Any = 1.0, min_p: Any = 0.0
) -> Tensor:
    """Leaves the likeliest tokens and sets the others to -inf.

    Tokens as likely as the last one that is left are left, too. The likeliest is always left.

    Args:
        log_probabilities: float32 `(B, V)`.
        top_k: leaves the k likeliest; 0 for all (Fan et al., 2018, section 5.2).
        top_p: of those, the fewest whose probabilities among them sum to top_p at least, the
            likeliest first (Holtzman et al., 2020, section 3.1).
        min_p: and of these the ones that have min_p times the probability of the likeliest at
            least (Nguyen et al., 2025).

    Reference: https://arxiv.org/abs/1805.04833, https://arxiv.org/abs/1904.09751,
    https://arxiv.org/abs/2407.01082.
    """
    best = ops.max(log_probabilities, axis=-1, keepdims=True)
    least = ops.full_like(best, -float("inf"))
    if not (is_off(top_k, 0) and is_off(top_p, 1)):
        least = _least_of_top(log_probabilities, top_k, top_p)
    if not is_off(min_p, 0):
        least = ops.maximum(least, best + ops.log(by_example(min_p, 2)))
    least = ops.minimum(least, best)
    return ops.where(log_probabilities >= least, log_probabilities, -float("inf"))


def _least_of_top(log_probabilities: Tensor, top_k: Any, top_p: Any) -> Tensor:
    """The log-probability `(B, 1)` of the last token that is left; -inf where all are."""
    vocabulary = ops.shape(log_probabilities)[-1]
    k, p = by_example(top_k, 2, "int32"), by_example(top_p, 2)

    def find() -> Tensor:
        falling = ops.flip(ops.sort(log_probabilities, axis=-1), axis=-1)
        ranks = ops.arange(vocabulary, dtype="int32")
        falling = ops.where(ops.logical_or(k <= 0, ranks < k), falling, -float("inf"))
        probabilities = ops.softmax(falling, axis=-1)
        before = ops.cumsum(probabilities, axis=-1) - probabilities
        # Rounding must not cut where nothing is to be cut.
        left = ops.logical_or(ops.logical_or(before < p, p >= 1), ranks == 0)
        left = ops.logical_and(left, falling > -float("inf"))
        return ops.min(ops.where(left, falling, float("inf")), axis=-1, keepdims=True)

    if is_number(top_k) and is_number(top_p):
        return find()
    # Sorting the vocabulary is the dearest part of a step: not where no example asks for it.
    asked = ops.logical_or(ops.any(k > 0), ops.any(p < 1))
    return ops.cond(asked, find, lambda: ops.full_like(log_probabilities[:, :1], -float("inf")))
