"""Check of the dilations of a model."""

from collections.abc import Sequence
from typing import Any


def check_dilations(dilations: Sequence[int]) -> Any:
    """Returns them as a list; raises ValueError if there are none."""
    if not isinstance(dilations, list | tuple) or not dilations:
        raise ValueError(f"Expected one dilation at least. Received: dilations={dilations!r}")
    return list(dilations)
