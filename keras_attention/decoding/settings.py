"""Settings of a search: numbers for all examples, or tensors with one for each."""

import numbers

import keras
from keras import ops

from keras_attention.known import known_values

# As good as any larger size, and far from where int32 wraps around.
MOST = 2**30
# The largest float32, roughly.
LARGEST = 3e38


def is_number(setting):
    """True if the setting is a Python number, known while the graph is built."""
    return isinstance(setting, numbers.Number)


def is_off(setting, neutral):
    """True if the setting is off, so that the graph can leave it out."""
    return setting is None or (is_number(setting) and setting == neutral)


def check_setting(name, setting, condition, holds):
    """Raises ValueError where a number, or one of a tensor's, does not satisfy `condition`.

    What a tensor holds only when a graph runs is not seen here: see `in_range`.
    """
    values = None if setting is None else known_values(setting)
    for value in () if values is None else values.ravel().tolist():
        if not holds(value):
            raise ValueError(f"Expected {condition}. Received: {name}={value}")


def in_range(setting, low, high, neutral):
    """The setting; in a graph, what is out of range as the nearest in range, and NaN as neutral."""
    if setting is None or known_values(setting) is not None:
        return setting
    if keras.backend.is_float_dtype(keras.backend.standardize_dtype(setting.dtype)):
        setting = ops.where(ops.isnan(setting), ops.cast(neutral, setting.dtype), setting)
    return ops.clip(setting, low, high)


def by_example(setting, rank, dtype="float32"):
    """A number or a tensor `(B,)` or `(1,)` as a tensor `(B or 1, 1, ...)` of that rank."""
    if dtype == "int32":
        setting = as_int32(setting)
    setting = ops.cast(ops.convert_to_tensor(setting), dtype)
    return ops.reshape(setting, (-1, *[1] * (rank - 1)))


def as_int32(setting):
    """A size as int32, where a larger one than `MOST` is `MOST`."""
    if is_number(setting):
        return int(max(-MOST, min(setting, MOST)))
    setting = ops.convert_to_tensor(setting)
    if keras.backend.standardize_dtype(setting.dtype) in ("int64", "uint32", "uint64") or (
        keras.backend.is_float_dtype(keras.backend.standardize_dtype(setting.dtype))
    ):
        setting = ops.clip(setting, 0, MOST)
    return ops.cast(setting, "int32")
