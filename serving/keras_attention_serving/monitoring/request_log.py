"""Log of requests: of those that failed, and optionally of all."""

import logging
import re
import threading
import time
from collections import Counter

from keras_attention_serving import errors

logger = logging.getLogger("keras_attention_serving.requests")
access_logger = logging.getLogger("keras_attention_serving.access")

# Statuses that point to trouble in the server; the others are mistakes of clients.
_TROUBLE = {"UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
_TROUBLE |= {"INTERNAL", "UNAVAILABLE", "DATA_LOSS"}

# Number of failures of each status that are written in `SECONDS`; the others are counted.
LINES = 10
SECONDS = 10.0
MAX_CHARACTERS = 300  # of text that a client chose
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class RequestLog:
    """Log with a line for each request that failed, limited in floods.

    A fault of the server is an error, a sign of trouble in it is a warning, and a mistake of a
    client is information. Values in a request are never written. Each record has the attributes
    `transport`, `method`, `model`, `code` and `seconds`, for formats with fields. May be used from
    any thread.

    Args:
        access: also write a line for every request, to a separate logger.

    Attributes:
        access: the argument.
    """

    def __init__(self, access: bool = False) -> None:
        self.access = access
        self._lock = threading.Lock()
        self._seen: Counter[str] = Counter()  # failures by status, since `_begun`
        self._begun = -SECONDS
        self._timer: threading.Timer | None = None

    def finished(
        self,
        transport: str,
        method: str,
        model: str,
        seconds: float,
        error: errors.ServingError | None = None,
    ) -> None:
        """Logs the response to a request.

        Args:
            transport: `"GRPC"` or `"REST"`.
            method: name of the method, e.g. `"Predict"`.
            model: name of the model, as requested; empty if there is none.
            seconds: from the arrival of the request to its response.
            error: the error, if it failed; its cause, if it has one, is a fault of this server and
                is written with its traceback.
        """
        if error is None and not self.access:
            return
        code = "OK" if error is None else errors.status_text(error).partition(":")[0]
        method, model = _printable(method), _printable(model)
        fields = {
            "transport": transport,
            "method": method,
            "model": model,
            "code": code,
            "seconds": round(seconds, 6),
        }
        line = f"{transport} {method}{f' of {model}' if model else ''}: {code}"
        duration = f"{1000 * seconds:.1f} ms"
        if self.access:
            access_logger.info("%s in %s", line, duration, extra=fields)
        if error is not None and self._may_be_written(code):
            text = f": {_printable(error.log_text)}" if error.log_text else ""
            level = logging.ERROR if error.__cause__ else _level(code)
            cause = error.__cause__
            logger.log(level, "%s after %s%s", line, duration, text, extra=fields, exc_info=cause)

    def close(self) -> None:
        """Logs the numbers of failures that were counted and not written."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
        self._sum_up()

    def _may_be_written(self, code: str) -> bool:
        with self._lock:
            now = time.monotonic()
            if self._timer is None and now - self._begun >= SECONDS:
                self._begun = now
                self._seen.clear()
            self._seen[code] += 1
            written = self._seen[code] <= LINES
            if not written and self._timer is None:
                self._timer = threading.Timer(self._begun + SECONDS - now, self._sum_up)
                self._timer.daemon = True
                self._timer.start()
        return written

    def _sum_up(self) -> None:
        with self._lock:
            more = {code: n - LINES for code, n in self._seen.items() if n > LINES}
            self._timer = None
            self._begun = -SECONDS
            self._seen.clear()
        if more:
            counts = ", ".join(f"{code} {n}" for code, n in sorted(more.items()))
            logger.log(
                max(map(_level, more)),
                "%d further failed requests within %g s: %s",
                sum(more.values()),
                SECONDS,
                counts,
            )


def _level(code: str) -> int:
    return logging.WARNING if code in _TROUBLE else logging.INFO


def _printable(text: str) -> str:
    """Makes text one line of a limited length, without control characters."""
    text = " ".join(text[: 4 * MAX_CHARACTERS].split())
    if len(text) > MAX_CHARACTERS:
        text = text[:MAX_CHARACTERS] + "..."
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)
