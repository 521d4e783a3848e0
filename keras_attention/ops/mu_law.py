"""Samples as one of a few levels, close together where they are small."""

import math

from keras import ops

from keras_attention._types import Tensor


def mu_law_encode(samples: Tensor, levels: int = 256) -> Tensor:
    """The level of each sample: `round((f(x) + 1) / 2 * (levels - 1))`.

    With `mu = levels - 1` and `f(x) = sign(x) log(1 + mu |x|) / log(1 + mu)`.

    Args:
        samples: float tensor; what lies outside of -1 to 1 counts as the nearest that does not.
        levels: number of levels, 2 at least.

    Returns:
        int32, 0 to `levels - 1`.

    Reference: van den Oord et al., 2016, https://arxiv.org/abs/1609.03499, section 2.2.
    """
    mu = _mu(levels)
    samples = ops.clip(ops.cast(samples, "float32"), -1.0, 1.0)
    compressed = ops.sign(samples) * ops.log1p(mu * ops.absolute(samples)) / math.log1p(mu)
    return ops.cast(ops.round((compressed + 1) / 2 * mu), "int32")


def mu_law_decode(tokens: Tensor, levels: int = 256) -> Tensor:
    """The sample, float32, that a level stands for: the inverse of `mu_law_encode`."""
    mu = _mu(levels)
    compressed = 2 * ops.cast(tokens, "float32") / mu - 1
    return ops.sign(compressed) * ops.expm1(ops.absolute(compressed) * math.log1p(mu)) / mu


def _mu(levels: int) -> Tensor:
    if not isinstance(levels, int) or levels < 2:
        raise ValueError(f"Expected levels >= 2. Received: levels={levels!r}")
    return levels - 1
