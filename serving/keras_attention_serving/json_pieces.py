"""Large JSON documents read piece by piece, and lists gone through part by part.

Parsers and functions of whole lists hold the interpreter's lock from begin to end; between pieces
other threads have their turn. Structure is found by NumPy, which lets go of the lock meanwhile.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from keras_attention_serving.tensors import Array

PIECE = 1 << 17  # bytes
PART = 1 << 13  # values
MAX_DEPTH = 9  # of brackets: each has its members looked for
_QUOTE, _COMMA, _COLON, _BACKSLASH = b'",:\\'
_OPEN = {ord("["): ord("]"), ord("{"): ord("}")}

Loads = Callable[[bytes], Any]


class Document:
    """A JSON document whose structure is known.

    Args:
        data: the text.
        loads: reads a piece of it; what it raises is raised.
    """

    def __init__(self, data: bytes, loads: Loads) -> None:
        self._data = data
        self._loads = loads
        text = np.frombuffer(data, np.uint8)
        quote = text == _QUOTE
        if b"\\" in data:
            places = np.arange(len(data), dtype=np.int32)
            # Of the last character that is no backslash: a quote behind an odd number is text.
            plain = np.maximum.accumulate(np.where(text == _BACKSLASH, np.int32(-1), places))
            quote[1:] &= (places[:-1] - plain[:-1]) % 2 == 0
        outside = ~np.logical_xor.accumulate(quote)
        step = np.zeros(len(data), np.int8)
        step[((text == ord("[")) | (text == ord("{"))) & outside] = 1
        step[((text == ord("]")) | (text == ord("}"))) & outside] = -1
        self._depth = np.cumsum(step, dtype=np.int32)
        self._commas = (text == _COMMA) & outside
        self._colons = (text == _COLON) & outside
        self._ends = step < 0

    def value(self) -> Any:
        """What the document says; None if it is not one list or object, as far as can be seen."""
        start = len(self._data) - len(self._data.lstrip(b" \t\r\n"))
        ends = np.flatnonzero(self._ends[start:] & (self._depth[start:] == 0))
        if not ends.size or self._data[start] not in _OPEN:
            return None
        return self._container(start, start + int(ends[0]), 1)

    def _container(self, start: int, end: int, depth: int) -> Any:
        """The list or object between two brackets; None if they do not fit together."""
        opening = self._data[start]
        if self._data[end] != _OPEN.get(opening):
            return None
        result: Any = {} if opening == ord("{") else []
        for first, last in self._groups(start + 1, end, depth):
            child = self._data[first:last]
            large = len(child) > 2 * PIECE and depth < MAX_DEPTH
            if large and (at := self._large(first, last, depth)) is not None:
                value = self._container(at, first + len(child.rstrip()) - 1, depth + 1)
                if value is None:
                    return None
                if type(result) is dict:
                    (name,) = self._loads(b"{" + self._data[first:at] + b"0}")
                    result[name] = value
                else:
                    result.append(value)
                continue
            if not child.strip():
                return None
            if type(result) is dict:
                result.update(self._loads(b"{" + child + b"}"))
            else:
                result += self._loads(b"[" + child + b"]")
        return result

    def _groups(self, start: int, end: int, depth: int) -> Iterator[tuple[int, int]]:
        """Where the members of a list or object lie, many small ones together."""
        here = self._commas[start:end] & (self._depth[start:end] == depth)
        commas = start + np.flatnonzero(here)
        if not commas.size and not self._data[start:end].strip():
            return
        index, first = 0, start
        while index < len(commas):
            after = int(np.searchsorted(commas, first + PIECE, "right"))
            index = max(index, after - 1)
            yield first, int(commas[index])
            first, index = int(commas[index]) + 1, index + 1
        yield first, end

    def _large(self, first: int, last: int, depth: int) -> int | None:
        """Where a list or object begins that is the one member in a range, if there is one."""
        colons = np.flatnonzero(self._colons[first:last] & (self._depth[first:last] == depth))
        at = first + (int(colons[0]) + 1 if colons.size else 0)
        at = last - len(self._data[at:last].lstrip(b" \t\r\n"))
        commas = self._commas[first:last] & (self._depth[first:last] == depth)
        if at == last or self._data[at] not in _OPEN or commas.any():
            return None
        return at


def parts(values: list[Any]) -> Iterator[list[Any]]:
    """A list in parts that are soon gone through."""
    if len(values) <= PART:
        yield values
        return
    for start in range(0, len(values), PART):
        yield values[start : start + PART]


def types(values: list[Any]) -> set[type]:
    """The types of the values of a list."""
    found: set[type] = set()
    for part in parts(values):
        found |= set(map(type, part))
    return found


def array(values: list[Any], dtype: Any) -> Array:
    """The array of a list of numbers."""
    if len(values) <= PART:
        return np.array(values, dtype)
    return np.concatenate([np.array(part, dtype) for part in parts(values)])


def joined(lists: list[list[Any]]) -> list[Any]:
    """The values of lists in a row."""
    if len(lists) == 1:
        return lists[0]
    result: list[Any] = []
    for values in lists:
        for part in parts(values):
            result += part
    return result


def discard(value: Any) -> None:
    """Empties nested lists and objects that are large, part by part."""
    todo = [value]
    while todo:
        value = todo.pop()
        if type(value) is dict:
            todo += [item for item in value.values() if type(item) in (dict, list)]
            value.clear()
        while type(value) is list and value:
            for item in value[-PART:]:
                if type(item) in (dict, list) and len(item) > PART // 8:
                    todo.append(item)
            del value[-PART:]
