"""Rows of `Constraints`: one field for each constraint on what may follow."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from keras_attention.decoding.settings import Range


class Constraint(NamedTuple):
    """The row of a constraint.

    Args:
        neutral: the value that changes nothing; an integer if only integers are meant.
        range: the values that are accepted.
        process: function `(log_probabilities, ids, t, end_id, setting)` to the log-probabilities
            that remain; see `processors.py`.
        of_requests: the lowest and the highest value of a request to an exported model; from 0 to
            the maximum length of an answer if None.
    """

    neutral: int | float
    range: Range
    process: Callable[..., Any]
    of_requests: tuple[float, float] | None = None


def constraint(
    neutral: int | float,
    range: Range,
    process: Callable[..., Any],
    of_requests: tuple[float, float] | None = None,
) -> Any:
    """A field of a dataclass with the row of its constraint: see `Constraint`."""
    row = Constraint(neutral, range, process, of_requests)
    return dataclasses.field(default=neutral, metadata={"constraint": row})


def constraint_fields(constraints: type) -> dict[str, Constraint]:
    """The rows of a dataclass by name."""
    return {
        field.name: field.metadata["constraint"]
        for field in dataclasses.fields(constraints)
        if "constraint" in field.metadata
    }
