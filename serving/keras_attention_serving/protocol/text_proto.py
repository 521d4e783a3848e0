"""Reader of protocol buffers in text format, the format of TensorFlow Serving's configuration."""

import logging
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from keras_attention_serving import errors
from keras_attention_serving.protocol import wire

logger = logging.getLogger(__name__)


def read(path: str | Path, message_class: Any) -> Any:
    """Reads the message in a text file.

    Raises:
        errors.ServingError: `NotFound` or another code if the file cannot be read,
            `InvalidArgument` if it holds something else; line and column are then logged.
    """
    return decode(load(path), message_class, str(path))


def load(path: str | Path) -> bytes:
    """Reads the bytes of a file; raises `errors.ServingError`, `NotFound` or another code."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise errors.from_os_error(error, str(path)) from None


def decode(content: bytes, message_class: Any, path: str) -> Any:
    """Decodes the message in the bytes of the file `path`; raises `errors.InvalidArgument`."""
    try:
        # As in protobuf's own reader, the byte order mark that some editors write is skipped.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].split(b"\n")
        where = f"{len(before)}:{len(before[-1]) + 1}"
        raise _invalid(message_class, f"{where}: Expected UTF-8.", path) from None
    return parse(text, message_class, path)


def parse(text: str, message_class: Any, path: str) -> Any:
    """Parses the message in a text from `path`; raises `errors.InvalidArgument`."""
    message = message_class()
    try:
        text_format.Parse(text, message, descriptor_pool=wire.POOL)
    except text_format.ParseError as error:
        raise _invalid(message_class, _what(error, text), path) from None
    return message


def _what(error: text_format.ParseError, text: str) -> str:
    """Formats an error as protobuf's C++ library does: `LINE:COLUMN: text`, without the line.

    A line may hold a private key.
    """
    number = error.GetLine()
    if number is None:
        return str(error)
    where = f"{number}:{error.GetColumn()}"
    line = text.split("\n")[number - 1]
    what = str(error).removeprefix(f"{where} : ").removeprefix(f"'{line}': ")
    for end in ("Couldn't parse string", "String missing ending quote"):
        if what.startswith(end):
            what = f"{end}."
    return f"{where}: {what}"


def _invalid(message_class: Any, what: str, path: str) -> errors.InvalidArgument:
    logger.error("Error parsing text-format %s: %s", message_class.DESCRIPTOR.full_name, what)
    return errors.InvalidArgument(f"Invalid protobuf file: '{path}'")
