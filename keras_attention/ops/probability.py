"""From scores to weights: the alternatives to the softmax."""

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_attention._types import Tensor
from keras_attention.ops.precision import at_least_float32
from keras_attention.ops.softmax import HIDDEN, LOWEST, masked_softmax

# All take scores (..., Tq, Tv) and a mask that broadcasts to them, compute in float32 at least,
# give masked positions weight 0, and a row with nothing to attend to zeros. A score of minus
# infinity, or as low as `finfo.min`, hides its position as the mask does.


def sparsemax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """The point of the simplex nearest to the scores: weights that sum to 1, many of them 0.

    `max(0, s - tau)`, with tau such that the weights sum to 1.

    Reference: Martins and Astudillo, 2016, https://arxiv.org/abs/1602.02068, algorithm 1.
    """
    scores, mask = _at_most_one_below_the_top(scores, mask)
    ordered, count = _ordered(scores)
    threshold = (ops.cumsum(ordered, axis=-1) - 1) / count
    threshold = _at_last(threshold, ordered > threshold)
    support = _support(scores, threshold, mask)
    size = ops.maximum(ops.sum(support, axis=-1, keepdims=True), 1.0)
    # The same threshold again, from the support: this one is differentiated, no sort is.
    threshold = (ops.sum(scores * support, axis=-1, keepdims=True) - 1) / size
    return _visible((scores - threshold) * support, mask)


def entmax15(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Between softmax and sparsemax: `max(0, s / 2 - tau) ** 2`, weights that sum to 1.

    Smooth where sparsemax has corners, and still with weights that are exactly 0.

    Reference: Peters, Niculae and Martins, 2019, https://arxiv.org/abs/1905.05702, algorithm 2.
    """
    scores, mask = _at_most_one_below_the_top(scores, mask, 0.5)
    ordered, count = _ordered(scores)
    mean = ops.cumsum(ordered, axis=-1) / count
    spread = ops.cumsum(ops.square(ordered), axis=-1) - count * ops.square(mean)
    threshold = mean - ops.sqrt(ops.maximum((1 - spread) / count, 0.0))
    threshold = _at_last(threshold, threshold <= ordered)
    support = _support(scores, threshold, mask)
    size = ops.maximum(ops.sum(support, axis=-1, keepdims=True), 1.0)
    mean = ops.sum(scores * support, axis=-1, keepdims=True) / size
    spread = ops.sum(ops.square(scores - mean) * support, axis=-1, keepdims=True)
    # Of n scores in the support, (1 - spread) / n is 1 / n**2 at least: the root has a gradient.
    threshold = mean - ops.sqrt(ops.maximum((1 - spread) / size, 0.5 / ops.square(size)))
    return _visible(ops.square(scores - threshold) * support, mask)


def hardmax(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Weight 1 for the highest score, the first of several, 0 for all others.

    Piecewise constant: no gradient reaches the scores.
    """
    scores, mask = _replaced(scores, mask)
    # Not by `argmax`, which reads the bits of a float on TensorFlow: no converter knows that.
    length = ops.shape(scores)[-1]
    positions = ops.arange(length, dtype="int32")
    top = ops.equal(scores, ops.max(scores, axis=-1, keepdims=True, initial=float("-inf")))
    first = ops.min(ops.where(top, positions, length), axis=-1, keepdims=True, initial=2**31 - 1)
    weights = ops.cast(ops.equal(positions, first), scores.dtype)
    # What compares as highest among NaNs differs by backend; the row shows them.
    broken = ops.any(ops.logical_and(ops.isnan(scores), mask), axis=-1, keepdims=True)
    return _visible(ops.where(broken, float("nan"), weights), mask)


def gumbel_hardmax(
    scores: Tensor, mask: Tensor | None = None, noise: Tensor | None = None
) -> Tensor:
    """One position drawn by its softmax probability; `hardmax` without noise.

    The highest of scores with Gumbel noise is a draw from their softmax. Backwards it is the
    softmax of the noisy scores: the straight-through estimator.

    Args:
        scores: float `(..., Tq, Tv)`.
        mask: boolean, broadcastable to the scores.
        noise: draws of the standard Gumbel distribution, as the scores; None at inference.

    Reference: Jang, Gu and Poole, 2017, https://arxiv.org/abs/1611.01144, section 2.2.
    """
    if noise is None:
        return hardmax(scores, mask)
    scores = ops.cast(scores, at_least_float32(scores.dtype))
    scores = scores + ops.cast(noise, scores.dtype)
    soft = masked_softmax(scores, mask)
    return soft + ops.stop_gradient(hardmax(scores, mask) - soft)


def sigmoid(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """`1 / (1 + exp(-s))`, each for itself: the weights of a row do not sum to 1."""
    scores, mask = _replaced(scores, mask)
    return _visible(ops.sigmoid(scores), mask)


def normalized_sigmoid(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """Sigmoids divided by their sum, which bounds how sharp a row can be.

    Reference: Chorowski et al., 2015, https://arxiv.org/abs/1506.07503, section 2.2, smoothing.
    """
    scores, mask = _replaced(scores, mask)
    return masked_softmax(ops.log_sigmoid(scores), mask)


PROBABILITIES: dict[str, Callable[..., Tensor]] = {
    "softmax": masked_softmax,
    "sparsemax": sparsemax,
    "entmax15": entmax15,
    "hardmax": hardmax,
    "gumbel": gumbel_hardmax,
    "sigmoid": sigmoid,
    "normalized_sigmoid": normalized_sigmoid,
}


def _replaced(scores: Tensor, mask: Tensor) -> tuple[Any, Any]:
    """Wide scores with a low number where hidden, and which positions are not."""
    scores = ops.cast(scores, at_least_float32(scores.dtype))
    if mask is not None:
        scores = ops.where(mask, scores, LOWEST)
    # Also NaN is not hidden.
    return ops.maximum(scores, LOWEST), ops.logical_not(scores <= HIDDEN)


def _at_most_one_below_the_top(
    scores: Tensor, mask: Tensor, scale: Tensor = 1.0
) -> tuple[Any, Any]:
    """Scores times `scale`, moved so that the highest is 0 and cut at -1, and what is visible.

    The threshold of both projections is within 1 of the highest score, so what is lower by more
    has weight 0 wherever it stands: cut off, it spoils no sum by its size.
    """
    scores, mask = _replaced(scores, mask)
    scores = scores if scale == 1 else scores * scale
    top = ops.stop_gradient(ops.max(scores, axis=-1, keepdims=True, initial=LOWEST))
    return ops.maximum(scores - top, -1.0), mask


def _ordered(scores: Tensor) -> tuple[Any, Any]:
    """The scores from high to low, without gradients, and how many there are up to each."""
    ordered = ops.flip(ops.sort(ops.stop_gradient(scores), axis=-1), axis=-1)
    return ordered, ops.arange(1, ops.shape(scores)[-1] + 1, dtype=scores.dtype)


def _at_last(thresholds: Tensor, inside: Tensor) -> Tensor:
    """The threshold at the last position that is inside; the insiders come first."""
    last = ops.sum(ops.cast(inside, "int32"), axis=-1, keepdims=True) - 1
    if not thresholds.shape[-1]:
        thresholds = _with_one_more(thresholds, 0.0)
    return ops.take_along_axis(thresholds, ops.maximum(last, 0), axis=-1)


def _with_one_more(x: Tensor, fill: Tensor) -> Tensor:
    return ops.pad(x, [[0, 0]] * (len(x.shape) - 1) + [[0, 1]], constant_values=fill)


def _support(scores: Tensor, threshold: Tensor, mask: Tensor) -> Tensor:
    """1 where the weight is above 0, of the dtype of the scores.

    What was cut at -1 is never among them, though rounding may put the threshold below it: it
    would change no weight, but the derivatives of the second order.
    """
    return ops.cast((scores > threshold) & (scores > -1.0) & mask, scores.dtype)


def _visible(weights: Tensor, mask: Tensor) -> Tensor:
    return ops.where(mask, weights, ops.zeros((), dtype=weights.dtype))
