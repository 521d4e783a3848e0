"""TensorFlow Serving's REST API over the service, without a socket: a request in, an answer out.

    POST /v1/models/NAME[/versions/N|/labels/L]:(classify|regress|predict)
    GET  /v1/models/NAME[/versions/N|/labels/L][/metadata]
    GET  /v1/models

The last one is KServe's; what is under /v2 is the Open Inference Protocol. Names and labels are
URL-encoded. Anything else under /v1/ is a malformed request, a query behind the path included; what
is under neither does not exist, except for the page of the metrics and /healthz where they are
wanted.
"""

import re
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote_to_bytes

from google.protobuf import json_format

from keras_attention_serving import errors
from keras_attention_serving.concurrency.cancellation import Cancellation
from keras_attention_serving.monitoring.metrics import NO_METRICS, Metrics
from keras_attention_serving.monitoring.request_log import RequestLog
from keras_attention_serving.protocol import wire
from keras_attention_serving.rest import json_decode, json_encode, json_text
from keras_attention_serving.rest.open_inference import http as open_inference
from keras_attention_serving.service import Service

MAX_UNZIPPED_BYTES = 100 << 20
MAX_UNZIPPED_VALUES = 1 << 20
_UNZIP_BYTES = 1 << 18
_UNZIPPED = "values in a compressed body"

_MODEL = r"(?:/(?P<name>[^/:]+))"
_VERSION = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_PREDICTION = re.compile(
    rf"/v1/models{_MODEL}{_VERSION}:(?P<method>classify|regress|predict)", re.IGNORECASE
)
_STATUS = re.compile(rf"/v1/models{_MODEL}?{_VERSION}(?:/(?P<part>metadata))?", re.IGNORECASE)
HEALTH_PATH = "/healthz"
_API = re.compile("/v1/.*", re.IGNORECASE | re.DOTALL)
_OPEN_INFERENCE = re.compile("/v2(?:[/?].*)?", re.DOTALL)
_ORIGIN = re.compile("https?://.+", re.IGNORECASE)

_CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST, GET",
    "access-control-allow-headers": "Content-Type",
}
_HTTP_STATUS = {
    **{errors.Cancelled.code: 499, errors.Unknown.code: 500, errors.InvalidArgument.code: 400},
    **{errors.DeadlineExceeded.code: 504, errors.NotFound.code: 404},
    **{errors.AlreadyExists.code: 409, errors.PermissionDenied.code: 403},
    **{errors.Unauthenticated.code: 401, errors.ResourceExhausted.code: 429},
    **{errors.FailedPrecondition.code: 400, errors.Aborted.code: 409, errors.OutOfRange.code: 400},
    **{errors.Unimplemented.code: 501, errors.Internal.code: 500, errors.Unavailable.code: 503},
    **{errors.DataLoss.code: 500},
}
# As libevent, TensorFlow Serving's HTTP server, says it.
_NOT_FOUND = b"""<HTML><HEAD>
<TITLE>404 Not Found</TITLE>
</HEAD><BODY>
<H1>Not Found</H1>
</BODY></HTML>
"""


@dataclass(frozen=True)
class Answer:
    """What goes back to the client: an HTTP status, a body, and headers besides its type."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Call:
    """Who asks, and how long they wait."""

    arrived: float
    timeout: float | None
    cancellation: Cancellation | None

    def left(self) -> float | None:
        """The seconds that are left; raises `errors.ServingError` if it is too late."""
        if self.cancellation is not None and self.cancellation.cancelled:
            raise errors.Cancelled("The client has left.")
        if self.timeout is None:
            return None
        left = self.timeout - (time.monotonic() - self.arrived)
        if left <= 0:
            raise errors.DeadlineExceeded("Timed out before the computation began.")
        return left


class RestApi:
    """Answers requests. `answer` may be called from any number of threads.

    Args:
        service: what answers.
        timeout_seconds: how long a prediction may take; None for no limit.
        cors: allow pages of other sites to ask, and answer their browsers' preflight requests.
        metrics: takes note of the requests.
        log: the same; by default, failures are logged.
        metrics_path: where the page of the metrics is; None for nowhere.
        max_unzipped_values: how many values a compressed body may hold, if it does not have as many
            bytes, and how many lists and objects any body may.
        health: answer at `/healthz` whether all models are available.
    """

    def __init__(
        self,
        service: Service,
        *,
        timeout_seconds: float | None = 30.0,
        cors: bool = False,
        metrics: Metrics = NO_METRICS,
        log: RequestLog | None = None,
        metrics_path: str | None = None,
        max_unzipped_values: int = MAX_UNZIPPED_VALUES,
        health: bool = False,
    ) -> None:
        self._service = service
        self._open_inference = open_inference.OpenInferenceApi(service, metrics)
        self._health = health
        self._max_unzipped_values = max_unzipped_values
        self._timeout = timeout_seconds
        self._cors = cors
        self._metrics = metrics
        self._log = log or RequestLog()
        self._metrics_path = metrics_path

    def answer(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        arrived: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Answer:
        """The answer to a request; raises nothing.

        Args:
            method: `"GET"`, `"POST"` or another.
            target: path and query, still URL-encoded.
            body: as it came, before any decoding.
            headers: those of the request, names in lower case.
            arrived: when the request came, on the monotonic clock; now by default.
            cancellation: knows whether the client is still there.
        """
        headers = headers or {}
        call = _Call(time.monotonic() if arrived is None else arrived, self._timeout, cancellation)
        failure: errors.ServingError | None = None
        try:
            answer = self._answer(method, target, body, headers, call)
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
            answer = Answer(_HTTP_STATUS[failure.code], text)
        elif answer.status >= 400:
            failure = _failure_of(answer, target)
        self.note(method, target, call.arrived, failure)
        if self._cors and (_API.fullmatch(target) or _OPEN_INFERENCE.fullmatch(target)):
            return replace(answer, headers={**answer.headers, **_CORS})
        return answer

    def note(
        self, method: str, target: str, arrived: float, failure: errors.ServingError | None
    ) -> None:
        """Has the log know of an answer; `arrived` is on the monotonic clock."""
        if failure is None and not self._log.access:
            return
        what, model = f"{method} {target}", ""
        if match := _PREDICTION.fullmatch(target):
            what, model = match["method"], _decoded(match["name"])
        elif match := _STATUS.fullmatch(target):
            what, model = match["part"] or "status", _decoded(match["name"] or "")
        elif asked := open_inference.asked(target):
            what, model = asked
        self._log.finished("REST", what, model, time.monotonic() - arrived, failure)

    def _answer(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str], call: "_Call"
    ) -> Answer:
        if self._health and target == HEALTH_PATH and method in ("GET", "HEAD"):
            return self._healthz()
        at_page = target.partition("?")[0] == self._metrics_path
        if not (at_page or _API.fullmatch(target) or _OPEN_INFERENCE.fullmatch(target)):
            return Answer(404, _NOT_FOUND, "text/html", {"connection": "close"})
        if self._cors and method == "OPTIONS":
            return _preflight(headers.get("origin", ""))
        if at_page:
            return self._page(target)
        if _OPEN_INFERENCE.fullmatch(target):
            return self._infer(method, target, body, headers, call)
        return Answer(200, self._api(method, target, body, headers, call))

    def _healthz(self) -> Answer:
        if self._service.is_ready():
            return Answer(200, b"ok\n", "text/plain")
        return Answer(503, b"not serving\n", "text/plain")

    def _page(self, target: str) -> Answer:
        if target != self._metrics_path:
            text = f"Unexpected path: {target}. Should be {self._metrics_path}"
            return Answer(400, text.encode(), "text/plain")
        return Answer(200, self._metrics.page(), "text/plain")

    def _infer(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str], call: "_Call"
    ) -> Answer:
        encoding = headers.get("content-encoding", "").lower()
        data = open_inference.unzipped(body, encoding, MAX_UNZIPPED_BYTES)
        request = open_inference.Call(
            method, target, data, headers, call.arrived, call.left, call.cancellation
        )
        if data is not body:
            size = open_inference.json_bytes(request)
            limit = max(len(body), self._max_unzipped_values)
            _check_values(_values(data[:size]), limit, _UNZIPPED)
        reply = self._open_inference.answer(request)
        if reply.json_bytes is None:
            return Answer(reply.status, reply.body)
        length = {"inference-header-content-length": str(reply.json_bytes)}
        return Answer(reply.status, reply.body, "application/octet-stream", length)

    def _api(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str], call: "_Call"
    ) -> bytes:
        if method == "POST" and (match := _PREDICTION.fullmatch(target)):
            if match["method"] in ("classify", "regress", "predict"):  # only the path may shout
                return self._counted(match, body, headers, call)
        elif method == "GET" and (match := _STATUS.fullmatch(target)):
            return self._status(match)
        raise errors.InvalidArgument(f"Malformed request: {method} {target}")

    def _counted(
        self, match: re.Match[str], body: bytes, headers: Mapping[str, str], call: "_Call"
    ) -> bytes:
        code = errors.Internal.code
        try:
            data = _unzipped(body, headers, self._max_unzipped_values)
            if len(data) > self._max_unzipped_values:
                lists = data.count(b"[") + data.count(b"{")
                _check_values(lists, self._max_unzipped_values, "lists and objects in a body")
            result = self._predict(match, data, call)
            code = 0
            return result
        except errors.ServingError as error:
            code = error.code
            raise
        finally:
            seconds = time.monotonic() - call.arrived
            self._metrics.request(_decoded(match["name"]), match["method"], "REST", code, seconds)

    def _predict(self, match: re.Match[str], body: bytes, call: "_Call") -> bytes:
        if match["method"] == "predict":
            request = wire.PredictRequest()
            _fill_spec(request.model_spec, match)
            call.left()  # what nobody waits for any more is not read
            rows = json_decode.fill_predict(
                request,
                body,
                lambda: self._service.signature_inputs(request.model_spec),
                check=call.left,
            )
            response = self._service.run("Predict", request, call.left(), call.cancellation)
            call.left()
            return json_encode.predictions(response.outputs, rows)
        examples: wire.ClassificationRequest | wire.RegressionRequest
        if match["method"] == "classify":
            examples, api = wire.ClassificationRequest(), "Classify"
            encode = json_encode.classifications
        else:
            examples, api = wire.RegressionRequest(), "Regress"
            encode = json_encode.regressions
        _fill_spec(examples.model_spec, match)
        call.left()
        json_decode.fill_examples(examples, body)
        result = self._service.run(api, examples, call.left(), call.cancellation).result
        call.left()
        return encode(result)

    def _status(self, match: re.Match[str]) -> bytes:
        if match["name"] is None:
            if match["version"] or match["label"]:
                raise errors.InvalidArgument("Missing model name in request.")
            return json_encode.names("models", self._service.models.names())
        if match["part"] == "metadata":
            request = wire.GetModelMetadataRequest(metadata_field=["signature_def"])
            _fill_spec(request.model_spec, match)
            return _metadata(self._service.get_model_metadata(request))
        status = wire.GetModelStatusRequest()
        _fill_spec(status.model_spec, match)
        return (_printed(self._service.get_model_status(status)) + "\n").encode()


def _failure_of(answer: Answer, target: str) -> errors.ServingError:
    """Text for the log of an answer that is no error of the API."""
    if answer.status == 404:
        return errors.NotFound()
    not_ready = answer.status == 503 or _OPEN_INFERENCE.fullmatch(target)
    return errors.Unavailable() if not_ready else errors.InvalidArgument()


def _preflight(origin: str) -> Answer:
    if not _ORIGIN.fullmatch(origin):
        message = json_encode.error("Origin header is missing in CORS preflight")
        return Answer(400, message, headers=_CORS)
    return Answer(200, b"", headers=_CORS)


def _fill_spec(spec: Any, match: re.Match[str]) -> None:
    spec.name = _decoded(match["name"])
    if match["version"] is not None:
        # Not int() first: it refuses thousands of digits in words of its own.
        digits = match["version"].lstrip("0") or "0"
        if len(digits) > 19 or int(digits) >= 2**63:
            raise errors.InvalidArgument(
                f"Failed to convert version: {match['version']} to numeric."
            )
        spec.version.value = int(digits)
    elif match["label"] is not None:
        spec.version_label = _decoded(match["label"])


def _decoded(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "replace")


def _unzipped(body: bytes, headers: Mapping[str, str], max_values: int) -> bytes:
    """The body of a request; empty, as there, if it is compressed and too much or broken.

    What a few bytes have become is refused as soon as it is too many values.
    """
    if "gzip" not in headers.get("content-encoding", ""):
        return body
    unzip = zlib.decompressobj(wbits=31)  # the gzip format
    values, size, pieces, rest = 0, 0, [b"x"], body
    try:
        while pieces[-1] and not unzip.eof and size <= MAX_UNZIPPED_BYTES:
            pieces.append(unzip.decompress(rest, _UNZIP_BYTES))
            rest = unzip.unconsumed_tail
            size += len(pieces[-1])
            values += _values(pieces[-1])
            _check_values(values, max(len(body), max_values), _UNZIPPED)
    except zlib.error:
        return b""
    return b"".join(pieces[1:]) if unzip.eof and size <= MAX_UNZIPPED_BYTES else b""


def _values(data: bytes) -> int:
    return sum(map(data.count, (b",", b"[", b"{")))


def _check_values(values: int, limit: int, what: str) -> None:
    if values > limit:
        raise errors.ResourceExhausted(
            f"Expected at most {limit} {what} (--rest_api_max_unzipped_values). "
            f"Received: about {values}"
        )


def _printed(message: Any) -> str:
    text: str = json_format.MessageToJson(
        message,
        indent=1,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        ensure_ascii=False,
        descriptor_pool=wire.POOL,
    )
    return text


def _metadata(response: Any) -> bytes:
    signatures = wire.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return (
        f'{{\n"model_spec":{_printed(response.model_spec)}\n,\n'
        f'"metadata": {{"signature_def": {_printed(signatures)}\n}}\n}}\n'
    ).encode()
