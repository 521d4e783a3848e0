"""Infinities and NaNs of a memory kept from the queries that may not attend to them."""

from typing import Any, NamedTuple

from keras import ops

from keras_attention._types import Tensor
from keras_attention.ops.masks import split_nonfinite


class Nonfinite(NamedTuple):
    """Steps `(..., Tv)`, boolean, that held an infinity or a NaN; None if none was taken out."""

    key: Any = None
    value: Any = None

    def either(self) -> Tensor:
        """The steps of which key or value held one, or None."""
        return None if self.key is None else ops.logical_or(self.key, self.value)


def take_out_nonfinite(
    key: Tensor, value: Tensor, mask: Tensor, by_position: bool = False
) -> tuple[Any, Any, Any]:
    """Key and value without what is not finite, and the `Nonfinite` steps that had it.

    What no query may attend to has been zeroed already, see `zero_masked`. What some may attend to
    must not reach the others, and a weight of 0 does not keep it out: 0 * NaN is NaN. So it is
    taken out where queries differ, and put back for those who attend to it: see `nan_where_seen`.

    Args:
        key, value: `(..., Tv, D)`.
        mask: boolean `(..., Tq or 1, Tv)`, or None.
        by_position: True if queries differ by position besides.
    """
    if not by_position and (mask is None or mask.shape[-2] == 1):
        return key, value, Nonfinite()
    key, nonfinite_key = split_nonfinite(key)
    value, nonfinite_value = split_nonfinite(value)
    return key, value, Nonfinite(nonfinite_key, nonfinite_value)


def nan_where(scores: Tensor, steps: Tensor) -> Tensor:
    """Scores `(..., Tq, Tv)` with NaN at these steps `(..., Tv)`; unchanged for None."""
    return scores if steps is None else ops.where(ops.expand_dims(steps, -2), float("nan"), scores)


def nan_where_seen(x: Tensor, steps: Tensor, mask: Tensor) -> Tensor:
    """`x (..., Tq, D)` with NaN for the queries that may attend to one of these steps `(..., Tv)`.

    Unchanged where `steps` is None.
    """
    if steps is None:
        return x
    sees = ops.any(ops.logical_and(mask, ops.expand_dims(steps, -2)), axis=-1, keepdims=True)
    return ops.where(sees, float("nan"), x)
