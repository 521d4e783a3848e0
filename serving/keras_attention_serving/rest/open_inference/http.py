"""The Open Inference Protocol over HTTP, without a socket: a request in, a response out.

    GET  /v2, /v2/health/live, /v2/health/ready
    GET  /v2/models/NAME[/versions/N][/ready]
    POST /v2/models/NAME[/versions/N]/infer

Names are URL-encoded. `?signature_name=...` after the path of a model's metadata chooses the
signature that is described.

An endpoint is a row of `ROUTES`, at the end of this file, and the method that it names.
"""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

from keras_attention_serving import errors
from keras_attention_serving.monitoring.metrics import Metrics
from keras_attention_serving.open_inference import messages
from keras_attention_serving.rest.compressed_bodies import check_values, count_values, decompress
from keras_attention_serving.rest.http_messages import HttpRequest, HttpResponse
from keras_attention_serving.rest.json_text import encode, quote
from keras_attention_serving.rest.open_inference import json_request, json_response
from keras_attention_serving.service import Service

_NOT_READY = 400  # as in Triton; the protocol wants a 4xx


class OpenInferenceApi:
    """The endpoints below `/v2`; `handle` may be called from any number of threads.

    Args:
        service: the methods.
        metrics: is told of every inference.
        max_values: number of values that a compressed body may hold if it has fewer bytes.
    """

    def __init__(self, service: Service, metrics: Metrics, max_values: int) -> None:
        self._service = service
        self._models = service.models
        self._metrics = metrics
        self._max_values = max_values

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Returns the response; raises `errors.ServingError`."""
        request = self._decompressed(request)
        path = request.target.partition("?")[0]
        route, match = _find(path)
        if route is None or match is None:
            raise errors.NotFound(
                "Expected a path of the Open Inference Protocol: /v2, /v2/health/live, "
                "/v2/health/ready or /v2/models/NAME[/versions/N][/ready|/infer]. "
                f"Received: {path:.200}"
            )
        methods = ("GET", "HEAD") if route.method == "GET" else (route.method,)
        if request.method not in methods:
            raise errors.InvalidArgument(
                f"Expected the method {route.method} for {path:.200}. Received: {request.method}"
            )
        return route.handler(self, match, request)

    def server_metadata(self, match: re.Match[str], request: HttpRequest) -> HttpResponse:
        response = self._models.server_metadata(messages.ServerMetadataRequest())
        return HttpResponse(200, json_response.server_metadata(response))

    def server_live(self, match: re.Match[str], request: HttpRequest) -> HttpResponse:
        live = self._models.server_live(messages.ServerLiveRequest()).live
        return HttpResponse(200, encode(f'{{"live":{_boolean(live)}}}'))

    def server_ready(self, match: re.Match[str], request: HttpRequest) -> HttpResponse:
        live = self._models.server_live(messages.ServerLiveRequest()).live
        ready = self._models.server_ready(messages.ServerReadyRequest()).ready
        body = encode(f'{{"live":{_boolean(live)},"ready":{_boolean(ready)}}}')
        return HttpResponse(200 if ready else _NOT_READY, body)

    def model_metadata(self, match: re.Match[str], request: HttpRequest) -> HttpResponse:
        query = parse_qs(request.target.partition("?")[2])
        name, version = _model(match)
        message = messages.ModelMetadataRequest(name=name, version=version)
        signature = query.get("signature_name", [""])[-1]
        response = self._models.model_metadata(message, signature_name=signature)
        return HttpResponse(200, json_response.metadata(response))

    def model_ready(self, match: re.Match[str], request: HttpRequest) -> HttpResponse:
        name, version = _model(match)
        self._models.check_known(name, version)
        message = messages.ModelReadyRequest(name=name, version=version)
        ready = self._models.model_ready(message).ready
        body = encode(f'{{"name":{quote(name)},"ready":{_boolean(ready)}}}')
        return HttpResponse(200 if ready else _NOT_READY, body)

    def infer(self, match: re.Match[str], request: HttpRequest) -> HttpResponse:
        code = errors.Internal.code
        try:
            response = self._infer(match, request)
            code = 0
            return response
        except errors.ServingError as error:
            code = error.code
            raise
        finally:
            seconds = time.monotonic() - request.arrived
            self._metrics.request(_model(match)[0], "infer", "REST", code, seconds)

    def _infer(self, match: re.Match[str], request: HttpRequest) -> HttpResponse:
        name, version = _model(match)
        message = messages.ModelInferRequest(model_name=name, model_version=version)
        self._models.check_known(name, version)  # before its body is read
        request.seconds_left()
        json_request.read(request.body, _json_size(request), message, request.seconds_left)
        named, default = json_request.binary_outputs(message)
        timeout = request.seconds_left()
        response = self._service.run("ModelInfer", message, timeout, request.cancellation)
        request.seconds_left()
        body, size = json_response.inference(response, named, default, request.seconds_left)
        if size is None:
            return HttpResponse(200, body)
        headers = {"inference-header-content-length": str(size)}
        return HttpResponse(200, body, "application/octet-stream", headers)

    def _decompressed(self, request: HttpRequest) -> HttpRequest:
        body = decompress(request.body, request.headers)
        if body is request.body:
            return request
        limit = max(len(request.body), self._max_values)
        request = replace(request, body=body)
        check_values(count_values(body[: _json_size(request)]), limit)
        return request


class _Route(NamedTuple):
    method: str
    pattern: re.Pattern[str]  # of a path without its query
    action: str  # its name in the log
    handler: Callable[[OpenInferenceApi, re.Match[str], HttpRequest], HttpResponse]


_MODEL = "/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?"

ROUTES = (
    _Route("POST", re.compile(_MODEL + "/infer"), "infer", OpenInferenceApi.infer),
    _Route("GET", re.compile(_MODEL + "/ready"), "ready", OpenInferenceApi.model_ready),
    _Route("GET", re.compile(_MODEL), "metadata", OpenInferenceApi.model_metadata),
    _Route("GET", re.compile("/v2/health/live"), "live", OpenInferenceApi.server_live),
    _Route("GET", re.compile("/v2/health/ready"), "ready", OpenInferenceApi.server_ready),
    _Route("GET", re.compile("/v2/?"), "server metadata", OpenInferenceApi.server_metadata),
)


def described(target: str) -> tuple[str, str] | None:
    """The action and the model that a target names, for the log; None if it is no endpoint."""
    route, match = _find(target.partition("?")[0])
    if route is None or match is None:
        return None
    return route.action, unquote(match.groupdict().get("name") or "")


def _find(path: str) -> tuple[_Route, re.Match[str]] | tuple[None, None]:
    for route in ROUTES:
        if match := route.pattern.fullmatch(path):
            return route, match
    return None, None


def _model(match: re.Match[str]) -> tuple[str, str]:
    """Name and version, which is empty if there is none, of the model in a path."""
    return unquote(match["name"]), match["version"] or ""


def _json_size(request: HttpRequest) -> int:
    """The length of the JSON in a body; raises `errors.InvalidArgument`."""
    text = request.headers.get("inference-header-content-length")
    if text is None:
        return len(request.body)
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20):
        size = -1
    else:
        size = int(digits)
    if not 0 <= size <= len(request.body):
        raise errors.InvalidArgument(
            "Expected Inference-Header-Content-Length to be a number of bytes from 0 to "
            f"{len(request.body)}, those of the body. Received: {text:.80}"
        )
    return size


def _boolean(value: object) -> str:
    return "true" if value else "false"
