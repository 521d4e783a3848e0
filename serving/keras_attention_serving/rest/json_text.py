"""Parser and writer of JSON text, with the extensions and error texts of TensorFlow Serving.

Its parser is RapidJSON. Beyond the standard it reads `NaN`, `Infinity`, `Inf` and their negatives,
bytes in strings that are not UTF-8, and any text after the document. Integers that do
not fit 64 bits are floating-point numbers.

orjson reads nearly all documents, three times as fast; RapidJSON itself reads those that orjson
refuses, and makes the error texts.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson
import rapidjson

from keras_attention_serving.errors import InvalidArgument
from keras_attention_serving.rest.json_pieces import Document

MAX_DEBUG_BYTES = 256
LARGE = 1 << 18  # bytes that take long to parse
LARGEST_TOLD = 1 << 22  # bytes of a document whose errors are located
# RapidJSON's text for a document that its user stops reading.
TOO_DEEP = "JSON Parse error: Terminate parsing due to Handler error. at offset: 0"

_BOM = b"\xef\xbb\xbf"
_STRAY_BYTE = re.compile("[\udc80-\udcff]")  # as the error handler "surrogateescape" decodes one
_TRAILING = "The document root must not be followed by other values."
_ESCAPED = re.compile(r'["\\\x00-\x1f]')
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r"}
_ESCAPES["\t"] = "\\t"


def parse(data: bytes) -> dict[str, Any]:
    """Parses a JSON object; a byte that is not UTF-8 becomes a surrogate, see `encode`.

    Raises `errors.InvalidArgument`.
    """
    if not data:
        raise InvalidArgument("JSON Parse error: The document is empty")
    value = _pieces_of(data) if len(data) > LARGE else None
    if value is None:
        value = _whole(data)
    if type(value) is not dict:
        raise InvalidArgument(
            f"JSON Value: {debug(value)} Is not object", "JSON Value: ... Is not object"
        )
    return value


def _whole(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _lenient(data)


def _pieces_of(data: bytes) -> Any:
    """The value of a large document; None if it is wrong and has to be parsed as a whole."""
    try:
        value = Document(data, _whole).value()
    except InvalidArgument:
        value = None
    if value is None and len(data) > LARGEST_TOLD:
        raise InvalidArgument("JSON Parse error: Invalid value. at offset: 0")
    return value


def encode(text: str) -> bytes:
    """Encodes text as UTF-8, with the stray bytes of the document restored."""
    return text.encode("utf-8", "surrogateescape")


def quote(text: str) -> str:
    """A JSON string."""
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def type_name(value: object) -> str:
    """The name of a value's type in error messages."""
    if value is None or isinstance(value, bool):
        return {None: "Null", True: "True", False: "False"}[value]
    names = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
    return names[type(value)]


def debug(value: object) -> str:
    """A value for an error message: indented, and cut after 256 bytes."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else f"{value:.17g}"
    text = ""
    for piece in _pieces(value, "\n"):
        text += piece
        if len(text) > MAX_DEBUG_BYTES:
            break
    return text.encode("utf-8", "replace")[:MAX_DEBUG_BYTES].decode("utf-8", "ignore")


def unexpected(expected: str, value: object, name: str = "") -> InvalidArgument:
    """The error for an unexpected value; its text for the log omits the value."""
    text = f"{expected} Received: {name}"
    return InvalidArgument(f"{text}{debug(value)}", f"{text}...")


def _lenient(data: bytes) -> Any:
    data, _, _ = data.partition(b"\0")  # RapidJSON takes it for the end of the text
    mark = len(_BOM) if data.startswith(_BOM) else 0
    text = data[mark:].decode("utf-8", "surrogateescape")
    # One character for each stray byte, so that offsets do not change.
    plain = _STRAY_BYTE.sub("?", text).encode()
    try:
        value = rapidjson.loads(plain)
    except RecursionError:
        raise InvalidArgument(TOO_DEEP) from None
    except rapidjson.JSONDecodeError as error:
        offset, reason = _OFFSET.fullmatch(str(error)).groups()  # type: ignore[union-attr]
        at = int(offset)
        if reason == _TRAILING and at:
            return _lenient(data[: mark + at])
        raise InvalidArgument(f"JSON Parse error: {reason} at offset: {mark + at}") from None
    except ValueError:  # Python reads no integers of thousands of digits
        raise InvalidArgument(
            "JSON Parse error: Number too big to be stored in double. at offset: 0"
        ) from None
    return value if _STRAY_BYTE.search(text) is None else json.loads(text)


_OFFSET = re.compile(r"Parse error at offset (\d+): (.*)", re.DOTALL)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return _ESCAPES.get(character) or f"\\u{ord(character):04X}"


def _pieces(value: object, line: str) -> Iterator[str]:
    """The text of a value, four spaces deeper on each level; `line` begins a line."""
    if isinstance(value, dict) and value:
        for i, (name, member) in enumerate(value.items()):
            yield ("," if i else "{") + line + "    " + quote(name) + ": "
            yield from _pieces(member, line + "    ")
        yield line + "}"
    elif isinstance(value, list) and value:
        for i, item in enumerate(value):
            yield ("," if i else "[") + line + "    "
            yield from _pieces(item, line + "    ")
        yield line + "]"
    elif isinstance(value, str):
        yield quote(value)
    else:
        yield str(rapidjson.dumps(value))
