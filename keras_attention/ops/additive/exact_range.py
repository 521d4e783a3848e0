"""Range of inputs in which the fast forms of the additive score are exact."""

from typing import Any

from keras import ops

from keras_attention._types import Tensor

# The gradient by `vector` is a sum of tangents. Where all are small, they lose digits when they are
# computed from exponentials, which are close to 1 then. So large has to be one of them at least.
TANGENT = 2.0


def within(limit: Tensor, *arrays: Any) -> Tensor:
    """True if no element is larger than `limit`; a NaN counts as larger."""
    inside = [ops.all(ops.abs(x) <= limit) for x in arrays]
    result, *rest = inside
    for other in rest:
        result = ops.logical_and(result, other)
    return result


def has_large_tangents(query: Tensor, key: Tensor) -> Tensor:
    """True if `|q + k|` reaches `TANGENT` in some unit."""
    highest = ops.max(query, axis=1) + ops.max(key, axis=1)
    lowest = ops.min(query, axis=1) + ops.min(key, axis=1)
    return ops.any(ops.maximum(highest, -lowest) >= TANGENT)
