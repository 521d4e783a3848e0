"""Settings of a search: numbers for all examples, or tensors with one for each."""

import numbers

from keras import ops


def is_number(setting):
    """Whether it is known while the graph is built."""
    return isinstance(setting, numbers.Number)


def is_off(setting, neutral):
    """Whether the search can leave out what it asks for."""
    return setting is None or (is_number(setting) and setting == neutral)


def check_setting(name, setting, condition, holds):
    """Raises ValueError where a number does not satisfy `condition`; tensors are not checked."""
    if is_number(setting) and not holds(setting):
        raise ValueError(f"Expected {condition}. Received: {name}={setting}")


def by_example(setting, rank, dtype="float32"):
    """A number or a tensor `(B,)` or `(1,)` as a tensor `(B or 1, 1, ...)` of that rank."""
    setting = ops.cast(ops.convert_to_tensor(setting), dtype)
    return ops.reshape(setting, (-1, *[1] * (rank - 1)))
