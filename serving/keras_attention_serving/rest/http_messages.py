"""An HTTP request and its response, without a socket."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from keras_attention_serving import errors
from keras_attention_serving.concurrency.cancellation import Cancellation


@dataclass(frozen=True)
class HttpRequest:
    """An HTTP request.

    Attributes:
        method: `"GET"`, `"POST"` or another.
        target: path and query, still URL-encoded.
        body: the body, before or after decompression.
        headers: by names in lower case.
        arrived: time of arrival, on the monotonic clock.
        timeout: seconds from then in which a response is due; None for no limit.
        cancellation: set when the client has left.
    """

    method: str
    target: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    arrived: float = field(default_factory=time.monotonic)
    timeout: float | None = None
    cancellation: Cancellation | None = None

    def seconds_left(self) -> float | None:
        """The seconds until the response is due; raises `errors.ServingError` if it is too late."""
        if self.cancellation is not None and self.cancellation.cancelled:
            raise errors.Cancelled("The client has left.")
        if self.timeout is None:
            return None
        seconds = self.timeout - (time.monotonic() - self.arrived)
        if seconds <= 0:
            raise errors.DeadlineExceeded("Timed out before the computation began.")
        return seconds


@dataclass(frozen=True)
class HttpResponse:
    """An HTTP response.

    Attributes:
        status: the status code.
        body: the body.
        content_type: its type.
        headers: further headers.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
