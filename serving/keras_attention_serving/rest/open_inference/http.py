"""The Open Inference Protocol over HTTP, without a socket: a request in, a reply out.

    GET  /v2, /v2/health/live, /v2/health/ready
    GET  /v2/models/NAME[/versions/N][/ready]
    POST /v2/models/NAME[/versions/N]/infer

Names are URL-encoded. `?signature_name=...` behind the path of a model's metadata chooses the
signature that it tells of.
"""

import re
import time
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

from keras_attention_serving import errors
from keras_attention_serving.concurrency.cancellation import Cancellation
from keras_attention_serving.monitoring.metrics import Metrics
from keras_attention_serving.open_inference import messages
from keras_attention_serving.rest.json_text import encode, quote
from keras_attention_serving.rest.open_inference import json_request, json_response
from keras_attention_serving.service import Service

_PATH = re.compile(
    r"/v2(?:/?|/health/(?P<health>live|ready)"
    r"|/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?(?:/(?P<part>ready|infer))?)"
)
_NOT_READY = 400  # as Triton says it; the protocol wants a 4xx


class Reply(NamedTuple):
    """The answer to a request.

    Attributes:
        status: of HTTP.
        body: JSON, and binary tensors behind it.
        json_bytes: how much of the body is JSON; None if all of it is.
    """

    status: int
    body: bytes
    json_bytes: int | None = None


class Call(NamedTuple):
    """One request.

    Attributes:
        method: `"GET"`, `"POST"` or another.
        target: path and query, still URL-encoded.
        body: as it came, or unzipped.
        headers: by names in lower case.
        arrived: when the request came, on the monotonic clock.
        left: the seconds that are left; raises `errors.ServingError` if there are none.
        cancellation: knows whether the client is still there.
    """

    method: str
    target: str
    body: bytes
    headers: Mapping[str, str]
    arrived: float
    left: Callable[[], float | None]
    cancellation: Cancellation | None


class OpenInferenceApi:
    """Answers requests below `/v2`, from any number of threads.

    Args:
        service: what answers.
        metrics: is told of every inference.
    """

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service = service
        self._models = service.models
        self._metrics = metrics

    def answer(self, call: Call) -> Reply:
        """The reply; raises `errors.ServingError`."""
        path, _, query = call.target.partition("?")
        match = _PATH.fullmatch(path)
        if match is None:
            raise errors.NotFound(
                "Expected a path of the Open Inference Protocol: /v2, /v2/health/live, "
                "/v2/health/ready or /v2/models/NAME[/versions/N][/ready|/infer]. "
                f"Received: {path:.200}"
            )
        expected = ("POST",) if match["part"] == "infer" else ("GET", "HEAD")
        if call.method not in expected:
            raise errors.InvalidArgument(
                f"Expected the method {expected[0]} for {path:.200}. Received: {call.method}"
            )
        if match["part"] == "infer":
            return self._counted(match, call)
        if match["name"]:
            return self._model(match, query)
        if match["health"]:
            return self._health(match["health"])
        response = self._models.server_metadata(messages.ServerMetadataRequest())
        return Reply(200, json_response.server_metadata(response))

    def _health(self, what: str) -> Reply:
        live = self._models.server_live(messages.ServerLiveRequest()).live
        if what == "live":
            return Reply(200, encode(f'{{"live":{_boolean(live)}}}'))
        ready = self._models.server_ready(messages.ServerReadyRequest()).ready
        body = encode(f'{{"live":{_boolean(live)},"ready":{_boolean(ready)}}}')
        return Reply(200 if ready else _NOT_READY, body)

    def _model(self, match: re.Match[str], query: str) -> Reply:
        name, version = unquote(match["name"]), match["version"] or ""
        if match["part"] == "ready":
            self._models.check_known(name, version)
            asked = messages.ModelReadyRequest(name=name, version=version)
            ready = self._models.model_ready(asked).ready
            body = encode(f'{{"name":{quote(name)},"ready":{_boolean(ready)}}}')
            return Reply(200 if ready else _NOT_READY, body)
        signature = parse_qs(query).get("signature_name", [""])[-1]
        request = messages.ModelMetadataRequest(name=name, version=version)
        response = self._models.model_metadata(request, signature_name=signature)
        return Reply(200, json_response.metadata(response))

    def _counted(self, match: re.Match[str], call: Call) -> Reply:
        name, code = unquote(match["name"]), errors.Internal.code
        try:
            reply = self._infer(name, match["version"] or "", call)
            code = 0
            return reply
        except errors.ServingError as error:
            code = error.code
            raise
        finally:
            seconds = time.monotonic() - call.arrived
            self._metrics.request(name, "infer", "REST", code, seconds)

    def _infer(self, name: str, version: str, call: Call) -> Reply:
        request = messages.ModelInferRequest(model_name=name, model_version=version)
        self._models.check_known(name, version)  # before its body is read
        call.left()
        json_request.read(call.body, json_bytes(call), request, call.left)
        named, default = json_request.binary_outputs(request)
        response = self._service.run("ModelInfer", request, call.left(), call.cancellation)
        call.left()
        return Reply(200, *json_response.inference(response, named, default, call.left))


def asked(target: str) -> tuple[str, str] | None:
    """The call that a path asks for, and the name of the model; None for other paths."""
    match = _PATH.fullmatch(target.partition("?")[0])
    if match is None:
        return None
    if match["name"]:
        return match["part"] or "metadata", unquote(match["name"])
    return match["health"] or "server metadata", ""


def json_bytes(call: Call) -> int:
    """The length of the JSON in a body; raises `errors.InvalidArgument`."""
    text = call.headers.get("inference-header-content-length")
    if text is None:
        return len(call.body)
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20):
        size = -1
    else:
        size = int(digits)
    if not 0 <= size <= len(call.body):
        raise errors.InvalidArgument(
            "Expected Inference-Header-Content-Length to be a number of bytes from 0 to "
            f"{len(call.body)}, those of the body. Received: {text:.80}"
        )
    return size


def unzipped(body: bytes, encoding: str, limit: int) -> bytes:
    """The body behind `Content-Encoding`; raises `errors.ServingError`."""
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise errors.InvalidArgument(
            f"Expected Content-Encoding to be gzip, deflate or identity. Received: {encoding:.80}"
        )
    unzip = zlib.decompressobj(wbits=47)  # gzip, or zlib's own format
    try:
        data = unzip.decompress(body, limit + 1)
    except zlib.error:
        raise errors.InvalidArgument(
            f"Expected a body that is compressed with {encoding}. Received: other bytes"
        ) from None
    if len(data) > limit:
        raise errors.ResourceExhausted(
            f"Expected at most {limit} bytes in a compressed body. Received: more"
        )
    if not unzip.eof:
        raise errors.InvalidArgument(
            f"Expected a whole body that is compressed with {encoding}. Received: a part of one"
        )
    return data


def _boolean(value: object) -> str:
    return "true" if value else "false"
