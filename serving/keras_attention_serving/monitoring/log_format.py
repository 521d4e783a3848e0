"""Log of the command: one stream, one level and one format for all loggers of the process."""

import json
import logging
import threading
import time

from keras_attention_serving.errors import InvalidArgument

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")
FIELDS = ("transport", "method", "model", "code", "seconds")  # of requests
_TEXT = "%(asctime)s.%(msecs)03d: %(levelname).1s %(name)s:%(lineno)d] %(message)s"


class JsonFormatter(logging.Formatter):
    """Formatter of a record as one line of JSON: time (UTC), level, logger, message.

    Records of requests have further fields, and those of exceptions a traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for field in FIELDS:
            if field in record.__dict__:
                entry[field] = record.__dict__[field]
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


class Repeated(logging.Filter):
    """Filter that passes a few of the warnings from each place in the code, and counts the rest.

    Clients must not be able to fill the disk with warnings that they provoke.

    Args:
        lines: number of warnings that pass in `seconds`.
    """

    def __init__(self, lines: int = 10, seconds: float = 10.0) -> None:
        super().__init__()
        self._lines = lines
        self._seconds = seconds
        self._seen: dict[tuple[str, int], tuple[float, int]] = {}  # begin and number of warnings

    def filter(self, record: logging.LogRecord) -> bool:
        # The log of requests has its own limit, by status.
        of_request = FIELDS[0] in record.__dict__
        if record.levelno < logging.WARNING or of_request:
            return True
        place = record.pathname, record.lineno
        begun, count = self._seen.get(place, (record.created, 0))
        if record.created - begun >= self._seconds:
            if count > self._lines:
                record.msg = f"{record.getMessage()} ({count - self._lines} more like it before)"
                record.args = ()
            begun, count = record.created, 0
        self._seen[place] = begun, count + 1
        return count < self._lines


def configure(level: str, form: str) -> None:
    """Writes the records of all loggers to standard error, in a process that is only a server.

    Python's warnings, and exceptions that end a thread, become records, too. If logging has been
    configured already, it stays as it is.

    Args:
        level: the lowest level that is written, one of `LEVELS`.
        form: one of `FORMATS`.

    Raises `errors.InvalidArgument`.
    """
    for name, value, allowed in (("log_level", level, LEVELS), ("log_format", form, FORMATS)):
        if value not in allowed:
            raise InvalidArgument(
                f"Expected {name} to be one of {', '.join(allowed)}. Received: {name}={value}"
            )
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter() if form == "json" else logging.Formatter(_TEXT, "%Y-%m-%d %H:%M:%S")
    )
    handler.addFilter(Repeated())
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    threading.excepthook = _log_exception


def _log_exception(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit and args.exc_value is not None:
        name = args.thread.name if args.thread is not None else ""
        logging.getLogger(__name__).error("Thread %s has failed.", name, exc_info=args.exc_value)
