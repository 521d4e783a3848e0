"""Reader of large JSON documents piece by piece, and functions of lists part by part.

Parsers and functions of whole lists hold the interpreter's lock from beginning to end; between
pieces, other threads get a turn. NumPy finds the structure, and releases the lock meanwhile.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from keras_attention_serving.protocol.tensors import Array

PIECE = 1 << 17  # bytes
PART = 1 << 13  # values
_SPACE = b" \t\r\n"
MAX_DEPTH = 9  # of brackets whose members are searched for
_QUOTE, _COMMA, _COLON, _BACKSLASH = b'",:\\'
_OPEN = {ord("["): ord("]"), ord("{"): ord("}")}

Loads = Callable[[bytes], Any]


class Document:
    """A JSON document whose structure is known.

    Args:
        data: the text.
        loads: parses a piece of it; its exceptions are raised.
    """

    def __init__(self, data: bytes, loads: Loads) -> None:
        self._data = data
        self._loads = loads
        size = len(data)
        self._depth = np.empty(size, np.int32)
        self._commas, self._colons = np.empty(size, np.bool_), np.empty(size, np.bool_)
        self._ends = np.empty(size, np.bool_)
        self._find()

    def _find(self) -> None:
        inside, depth, backslashes = np.bool_(False), np.int32(0), 0
        whole = np.frombuffer(self._data, np.uint8)
        for start in range(0, len(whole), PIECE):
            here = slice(start, start + PIECE)
            text = whole[here]
            quote = text == _QUOTE
            slash = text == _BACKSLASH
            if backslashes or slash.any():
                places = np.arange(len(text))
                # The last character that is no backslash: a quote after an odd number is text.
                plain = np.maximum.accumulate(np.where(slash, -1 - backslashes, places))
                behind = places - plain
                quote[1:] &= behind[:-1] % 2 == 0
                quote[0] &= backslashes % 2 == 0
                backslashes = int(behind[-1])
            outside = ~(np.logical_xor.accumulate(quote) ^ inside)
            opens = ((text == ord("[")) | (text == ord("{"))) & outside
            self._ends[here] = ends = ((text == ord("]")) | (text == ord("}"))) & outside
            step = opens.view(np.int8) - ends.view(np.int8)
            self._depth[here] = np.cumsum(step, dtype=np.int32) + depth
            self._commas[here] = (text == _COMMA) & outside
            self._colons[here] = (text == _COLON) & outside
            inside, depth = ~outside[-1], self._depth[here][-1]

    def value(self) -> Any:
        """Value of the document; None if it is found not to be a single list or object."""
        start = self._skip(0, len(self._data))
        end = self._first(self._ends, start, len(self._data), 0)
        if end is None or self._data[start] not in _OPEN:
            return None
        return self._container(start, end, 1)

    def _container(self, start: int, end: int, depth: int) -> Any:
        """The list or object between two brackets; None if they do not match."""
        opening = self._data[start]
        if self._data[end] != _OPEN.get(opening):
            return None
        result: Any = {} if opening == ord("{") else []
        if self._skip(start + 1, end) == end:
            return result
        for first, last in self._groups(start + 1, end, depth):
            large = last - first > 2 * PIECE and depth < MAX_DEPTH
            if large and (at := self._large(first, last, depth)) is not None:
                while self._data[last - 1] in _SPACE:
                    last -= 1
                value = self._container(at, last - 1, depth + 1)
                if value is None:
                    return None
                if type(result) is dict:
                    (name,) = self._loads(b"{" + self._data[first:at] + b"0}")
                    result[name] = value
                else:
                    result.append(value)
                continue
            child = self._data[first:last]
            if not child.strip():
                return None
            if type(result) is dict:
                result.update(self._loads(b"{" + child + b"}"))
            else:
                result += self._loads(b"[" + child + b"]")
        return result

    def _groups(self, start: int, end: int, depth: int) -> Iterator[tuple[int, int]]:
        """Ranges of the members of a list or object; many small members share a range."""
        first = start
        while end - first > PIECE:
            here = slice(first, first + PIECE)
            commas = np.flatnonzero(self._commas[here] & (self._depth[here] == depth))
            comma = (
                first + int(commas[-1])
                if commas.size
                else self._first(self._commas, first + PIECE, end, depth)
            )
            if comma is None:
                break
            yield first, comma
            first = comma + 1
        yield first, end

    def _large(self, first: int, last: int, depth: int) -> int | None:
        """Start of the list or object that is the only member in a range; None if there is none."""
        if self._first(self._commas, first, last, depth) is not None:
            return None
        colon = self._first(self._colons, first, last, depth)
        at = self._skip(first if colon is None else colon + 1, last)
        return at if at < last and self._data[at] in _OPEN else None

    def _first(self, marks: Array, start: int, end: int, depth: int) -> int | None:
        """The first mark in a range at this depth of brackets."""
        for at in range(start, end, PIECE):
            here = slice(at, min(at + PIECE, end))
            places = np.flatnonzero(marks[here] & (self._depth[here] == depth))
            if places.size:
                return at + int(places[0])
        return None

    def _skip(self, at: int, end: int) -> int:
        """Index of the next character that is not white space."""
        while at < end and self._data[at] in _SPACE:
            at += 1
        return at


def parts(values: list[Any]) -> Iterator[list[Any]]:
    """Splits a list into parts of `PART` values."""
    if len(values) <= PART:
        yield values
        return
    for start in range(0, len(values), PART):
        yield values[start : start + PART]


def types(values: list[Any]) -> set[type]:
    """The types of the values of a list."""
    result: set[type] = set()
    for part in parts(values):
        result |= set(map(type, part))
    return result


def array(values: list[Any], dtype: Any) -> Array:
    """Makes an array of a list of numbers."""
    if len(values) <= PART:
        return np.array(values, dtype)
    return np.concatenate([np.array(part, dtype) for part in parts(values)])


def joined(lists: list[list[Any]]) -> list[Any]:
    """Concatenates lists."""
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
