"""The REST APIs over the service, without a socket: a request in, a response out.

    POST /v1/models/NAME[/versions/N|/labels/L]:(classify|regress|predict)
    GET  /v1/models/NAME[/versions/N|/labels/L][/metadata]
    GET  /v1/models

These are TensorFlow Serving's, and the last one KServe's (`tensorflow_serving`); paths under /v2
are those of the Open Inference Protocol (`open_inference`). Names and labels are URL-encoded.
Anything else under /v1/ is a malformed request, also with a query after the path. Paths under
neither do not exist, except for the page of the metrics and /healthz if they are enabled.
"""

import re
import time
from dataclasses import replace

from keras_attention_serving import errors
from keras_attention_serving.monitoring.metrics import NO_METRICS, Metrics
from keras_attention_serving.monitoring.request_log import RequestLog
from keras_attention_serving.rest import json_encode, json_text, tensorflow_serving
from keras_attention_serving.rest.compressed_bodies import MAX_VALUES
from keras_attention_serving.rest.http_messages import HttpRequest, HttpResponse
from keras_attention_serving.rest.open_inference import http as open_inference
from keras_attention_serving.service import Service

HEALTH_PATH = "/healthz"
_TENSORFLOW_SERVING = re.compile("/v1/.*", re.IGNORECASE | re.DOTALL)
_OPEN_INFERENCE = re.compile("/v2(?:[/?].*)?", re.DOTALL)
_ORIGIN = re.compile("https?://.+", re.IGNORECASE)

_CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST, GET",
    "access-control-allow-headers": "Content-Type",
}
_HTTP_STATUS = {
    errors.Cancelled.code: 499,
    errors.Unknown.code: 500,
    errors.InvalidArgument.code: 400,
    errors.DeadlineExceeded.code: 504,
    errors.NotFound.code: 404,
    errors.AlreadyExists.code: 409,
    errors.PermissionDenied.code: 403,
    errors.Unauthenticated.code: 401,
    errors.ResourceExhausted.code: 429,
    errors.FailedPrecondition.code: 400,
    errors.Aborted.code: 409,
    errors.OutOfRange.code: 400,
    errors.Unimplemented.code: 501,
    errors.Internal.code: 500,
    errors.Unavailable.code: 503,
    errors.DataLoss.code: 500,
}
# The text of libevent, TensorFlow Serving's HTTP server.
_NOT_FOUND = b"""<HTML><HEAD>
<TITLE>404 Not Found</TITLE>
</HEAD><BODY>
<H1>Not Found</H1>
</BODY></HTML>
"""


class RestApi:
    """All that is under the REST port; `handle` may be called from any number of threads.

    Args:
        service: the methods.
        cors: allow pages of other sites to send requests, and respond to preflight requests.
        metrics: is told of every prediction.
        log: is told of every response; by default, failures are logged.
        metrics_path: path of the page of the metrics; None for no page.
        max_unzipped_values: number of values that a compressed body may hold if it has fewer bytes
            than that, and of lists and objects in any body.
        health: tell at `/healthz` if all models are available.
    """

    def __init__(
        self,
        service: Service,
        *,
        cors: bool = False,
        metrics: Metrics = NO_METRICS,
        log: RequestLog | None = None,
        metrics_path: str | None = None,
        max_unzipped_values: int = MAX_VALUES,
        health: bool = False,
    ) -> None:
        self._service = service
        self._tensorflow_serving = tensorflow_serving.TensorFlowServingApi(
            service, metrics, max_unzipped_values
        )
        self._open_inference = open_inference.OpenInferenceApi(
            service, metrics, max_unzipped_values
        )
        self._cors = cors
        self._metrics = metrics
        self._log = log or RequestLog()
        self._metrics_path = metrics_path
        self._health = health

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Returns the response to a request; raises nothing."""
        failure: errors.ServingError | None = None
        try:
            response = self._handle(request)
        except errors.ServingError as error:
            failure = error
        except RecursionError:  # a tensor of a thousand axes
            failure = errors.InvalidArgument(json_text.TOO_DEEP)
        except MemoryError:
            failure = errors.ResourceExhausted("No memory for the request or its answer.")
        except Exception as error:
            failure = errors.Internal("Internal error; see the log of the server.")
            failure.__cause__ = error  # for the log
        if failure is not None:
            text = json_encode.error(failure.message)
            response = HttpResponse(_HTTP_STATUS[failure.code], text)
        elif response.status >= 400:
            failure = _failure_of(response, request.target)
        self.note(request, failure)
        if self._cors and _is_api(request.target):
            return replace(response, headers={**response.headers, **_CORS})
        return response

    def note(self, request: HttpRequest, failure: errors.ServingError | None) -> None:
        """Tells the log of a response."""
        if failure is None and not self._log.access:
            return
        target = request.target
        action, model = (
            tensorflow_serving.described(target)
            or open_inference.described(target)
            or (f"{request.method} {target}", "")
        )
        self._log.finished("REST", action, model, time.monotonic() - request.arrived, failure)

    def _handle(self, request: HttpRequest) -> HttpResponse:
        target, method = request.target, request.method
        if self._health and target == HEALTH_PATH and method in ("GET", "HEAD"):
            return self._healthz()
        is_metrics_page = target.partition("?")[0] == self._metrics_path
        if not (is_metrics_page or _is_api(target)):
            return HttpResponse(404, _NOT_FOUND, "text/html", {"connection": "close"})
        if self._cors and method == "OPTIONS":
            return _preflight(request.headers.get("origin", ""))
        if is_metrics_page:
            return self._page(target)
        if _OPEN_INFERENCE.fullmatch(target):
            return self._open_inference.handle(request)
        return HttpResponse(200, self._tensorflow_serving.handle(request))

    def _healthz(self) -> HttpResponse:
        if self._service.is_ready():
            return HttpResponse(200, b"ok\n", "text/plain")
        return HttpResponse(503, b"not serving\n", "text/plain")

    def _page(self, target: str) -> HttpResponse:
        if target != self._metrics_path:
            text = f"Unexpected path: {target}. Should be {self._metrics_path}"
            return HttpResponse(400, text.encode(), "text/plain")
        return HttpResponse(200, self._metrics.page(), "text/plain")


def _is_api(target: str) -> bool:
    return bool(_TENSORFLOW_SERVING.fullmatch(target) or _OPEN_INFERENCE.fullmatch(target))


def _failure_of(response: HttpResponse, target: str) -> errors.ServingError:
    """The error to log for a response that is not OK although nothing was raised."""
    if response.status == 404:
        return errors.NotFound()
    not_ready = response.status == 503 or _OPEN_INFERENCE.fullmatch(target)
    return errors.Unavailable() if not_ready else errors.InvalidArgument()


def _preflight(origin: str) -> HttpResponse:
    if not _ORIGIN.fullmatch(origin):
        message = json_encode.error("Origin header is missing in CORS preflight")
        return HttpResponse(400, message, headers=_CORS)
    return HttpResponse(200, b"", headers=_CORS)
