"""Protocol buffers in text files, as TensorFlow Serving is configured with them."""

import logging
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from keras_attention_serving import errors, wire

logger = logging.getLogger(__name__)


def read(path: str | Path, message_class: Any) -> Any:
    """The message in a text file.

    Raises:
        errors.ServingError: `NotFound` or another code if the file cannot be read,
            `InvalidArgument` if it holds something else; the log then knows the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise errors.from_os_error(error, str(path)) from None
    except UnicodeDecodeError as error:
        logger.error("%s: %s", path, error)
        raise errors.InvalidArgument(f"Invalid protobuf file: '{path}'") from None
    return parse(text, message_class, str(path))


def parse(text: str, message_class: Any, path: str) -> Any:
    """The message in a text that came from `path`; raises `errors.InvalidArgument`."""
    message = message_class()
    try:
        text_format.Parse(text, message, descriptor_pool=wire.POOL)
    except text_format.ParseError as error:
        logger.error("%s: %s", path, error)
        raise errors.InvalidArgument(f"Invalid protobuf file: '{path}'") from None
    return message
