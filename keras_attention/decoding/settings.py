"""Settings of a search: numbers for all examples, or tensors with one for each."""

import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_attention._known import known_values
from keras_attention._types import Tensor

# As good as any larger size, and far from where int32 wraps around.
MOST = 2**30
# The largest float32, roughly.
LARGEST = 3e38


class Range(NamedTuple):
    """The values of a setting: those that are accepted, and the bounds of a tensor in a graph.

    Args:
        condition: text for errors, with `{name}` for the setting.
        holds: function of a number: True if it is in range.
        low, high: what a tensor in a graph is clipped to.
    """

    condition: str
    holds: Callable[[float], bool]
    low: float
    high: float


SIZE = Range("{name} >= 0", lambda x: x >= 0, 0, MOST)
COUNT = Range("{name} >= 1", lambda x: x >= 1, 1, MOST)
POSITIVE = Range("a finite {name} > 0", lambda x: 0 < x < float("inf"), 1e-30, LARGEST)
PENALTY = Range("a finite {name} >= 0", lambda x: 0 <= x < float("inf"), 0.0, LARGEST)
TEMPERATURE = Range("{name} >= 0", lambda x: x >= 0, 0.0, LARGEST)
PROBABILITY = Range("0 <= {name} <= 1", lambda x: 0 <= x <= 1, 0.0, 1.0)
POSITIVE_PROBABILITY = Range("0 < {name} <= 1", lambda x: 0 < x <= 1, 0.0, 1.0)


def is_number(setting: Any) -> bool:
    """True if the setting is a Python number, known while the graph is built."""
    return isinstance(setting, numbers.Number)


def is_off(setting: Any, neutral: float) -> bool:
    """True if the setting is off, so that the graph can leave it out."""
    return setting is None or (is_number(setting) and setting == neutral)


def check_setting(name: str, setting: Any, range: Range) -> None:
    """Raises ValueError where a number, or one of a tensor's, is not in `range`.

    What a tensor holds only when a graph runs is not seen here: see `in_range`.
    """
    values = None if setting is None else known_values(setting)
    for value in () if values is None else values.ravel().tolist():
        if not range.holds(value):
            condition = range.condition.format(name=name)
            raise ValueError(f"Expected {condition}. Received: {name}={value}")


def in_range(setting: Any, range: Range, neutral: float) -> Any:
    """The setting; in a graph, what is out of range as the nearest in range, and NaN as neutral."""
    if setting is None or known_values(setting) is not None:
        return setting
    if keras.backend.is_float_dtype(keras.backend.standardize_dtype(setting.dtype)):
        setting = ops.where(ops.isnan(setting), ops.cast(neutral, setting.dtype), setting)
    return ops.clip(setting, range.low, range.high)


def by_example(setting: Any, rank: int, dtype: str = "float32") -> Tensor:
    """A number or a tensor `(B,)` or `(1,)` as a tensor `(B or 1, 1, ...)` of that rank."""
    if dtype == "int32":
        setting = as_int32(setting)
    setting = ops.cast(ops.convert_to_tensor(setting), dtype)
    return ops.reshape(setting, (-1, *[1] * (rank - 1)))


def as_int32(setting: Any) -> Any:
    """A size as int32, where a larger one than `MOST` is `MOST`."""
    if is_number(setting):
        return int(max(-MOST, min(setting, MOST)))
    setting = ops.convert_to_tensor(setting)
    if keras.backend.standardize_dtype(setting.dtype) in ("int64", "uint32", "uint64") or (
        keras.backend.is_float_dtype(keras.backend.standardize_dtype(setting.dtype))
    ):
        setting = ops.clip(setting, 0, MOST)
    return ops.cast(setting, "int32")
