"""Arrays of Python values: strings, numbers, and nested lists of them.

Strings become `object` arrays. NumPy's own strings have a fixed width: they lose NUL bytes at their
end, and each takes as much memory as the longest.
"""

from array import array as Numbers
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_MAX_RANK = 64  # NumPy's limit; lists that contain themselves have no end
_BUFFERS = (bytearray, memoryview, Numbers, range)  # sequences of numbers


def from_python(value: Any) -> Array:
    """Makes an array of a string, a number, or nested lists of either.

    Raises `ValueError` if strings, booleans and numbers are mixed, or lists have unequal lengths.
    """
    shape: list[int] = []
    level = [value]
    strings: set[type] = set()
    leaves: set[type] = set()
    even = True
    while level and len(shape) <= _MAX_RANK:
        types = set(map(type, level))
        if any(hasattr(kind, "__array__") for kind in types):
            level = [_opened(item) for item in level]
            types = set(map(type, level))
        lists = {kind for kind in types if _is_list(kind)}
        leaves |= types - lists
        strings |= {kind for kind in types if issubclass(kind, str | bytes)}
        if not lists:
            break
        if lists != types:
            even = False
            level = [item for item in level if type(item) in lists]
        lengths = set(map(len, level))
        even = even and len(lengths) == 1
        shape.append(max(lengths))
        level = list(chain.from_iterable(level))
    if (strings and strings != leaves) or _mixes_booleans(leaves):
        raise _mixed(leaves)
    if strings and not even:
        raise ValueError(f"Expected nested lists of equal lengths. Received: {_short(value)}")
    if strings:
        return np.fromiter(level, object, len(level)).reshape(shape)
    try:
        result: Array = np.asarray(value)
    except ValueError:  # NumPy's own text speaks of setting sequences
        raise ValueError(
            f"Expected nested lists of equal lengths. Received: {_short(value)}"
        ) from None
    if result.dtype == object:
        raise _mixed(leaves)
    return result


def _opened(item: Any) -> Any:
    """Replaces arrays of strings by lists; returns other values as they are."""
    if not hasattr(item, "__array__") or isinstance(item, np.generic):
        return item
    array = np.asarray(item)
    return array.tolist() if array.dtype.kind in "OSUT" else item


def _is_list(kind: type) -> bool:
    return issubclass(kind, Sequence) and not issubclass(kind, (str, bytes, *_BUFFERS))


def _mixes_booleans(leaves: set[type]) -> bool:
    booleans = {kind for kind in leaves if issubclass(kind, bool | np.bool_)}
    return bool(booleans) and any(
        issubclass(kind, int | float | complex | np.number) for kind in leaves - booleans
    )


def _mixed(leaves: set[type]) -> ValueError:
    names = ", ".join(sorted(kind.__name__ for kind in leaves))
    return ValueError(
        "Expected strings alone, booleans alone, or numbers of at most 64 bits alone. "
        f"Received: {names}"
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
