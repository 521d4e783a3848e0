"""TensorFlow Serving's REST API, below `/v1/`.

An endpoint is a row of `ROUTES`, at the end of this file, and the method that it names.
"""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from google.protobuf import json_format

from keras_attention_serving import errors
from keras_attention_serving.monitoring.metrics import Metrics
from keras_attention_serving.protocol import wire
from keras_attention_serving.rest import json_decode, json_encode
from keras_attention_serving.rest.compressed_bodies import check_values, gunzip
from keras_attention_serving.rest.http_messages import HttpRequest
from keras_attention_serving.service import Service


class TensorFlowServingApi:
    """The endpoints below `/v1/`; `handle` may be called from any number of threads.

    Args:
        service: the methods.
        metrics: is told of every prediction.
        max_values: number of values that a compressed body may hold if it has fewer bytes than
            that, and of lists and objects in any body.
    """

    def __init__(self, service: Service, metrics: Metrics, max_values: int) -> None:
        self._service = service
        self._metrics = metrics
        self._max_values = max_values

    def handle(self, request: HttpRequest) -> bytes:
        """Returns the body of the response; raises `errors.ServingError`."""
        for route in ROUTES:
            match = route.pattern.fullmatch(request.target)
            if match is not None and route.method == request.method:
                if request.method == "POST":
                    return self._counted(route.handler, match, request)
                return route.handler(self, match, request)
        raise errors.InvalidArgument(f"Malformed request: {request.method} {request.target}")

    def predict(self, match: re.Match[str], request: HttpRequest) -> bytes:
        message = wire.PredictRequest()
        _fill_spec(message.model_spec, match)
        request.seconds_left()  # raises if it is too late to read the body
        is_row_format = json_decode.fill_predict(
            message,
            request.body,
            lambda: self._service.signature_inputs(message.model_spec),
            check=request.seconds_left,
        )
        response = self._run("Predict", message, request)
        return json_encode.predictions(response.outputs, is_row_format)

    def classify(self, match: re.Match[str], request: HttpRequest) -> bytes:
        message = wire.ClassificationRequest()
        _fill_examples(message, match, request)
        return json_encode.classifications(self._run("Classify", message, request).result)

    def regress(self, match: re.Match[str], request: HttpRequest) -> bytes:
        message = wire.RegressionRequest()
        _fill_examples(message, match, request)
        return json_encode.regressions(self._run("Regress", message, request).result)

    def model_names(self, match: re.Match[str], request: HttpRequest) -> bytes:
        return json_encode.names("models", self._service.models.names())

    def model_status(self, match: re.Match[str], request: HttpRequest) -> bytes:
        message = wire.GetModelStatusRequest()
        _fill_spec(message.model_spec, match)
        return (_printed(self._service.get_model_status(message)) + "\n").encode()

    def model_metadata(self, match: re.Match[str], request: HttpRequest) -> bytes:
        message = wire.GetModelMetadataRequest(metadata_field=["signature_def"])
        _fill_spec(message.model_spec, match)
        response = self._service.get_model_metadata(message)
        signatures = wire.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return (
            f'{{\n"model_spec":{_printed(response.model_spec)}\n,\n'
            f'"metadata": {{"signature_def": {_printed(signatures)}\n}}\n}}\n'
        ).encode()

    def missing_name(self, match: re.Match[str], request: HttpRequest) -> bytes:
        raise errors.InvalidArgument("Missing model name in request.")

    def _run(self, api: str, message: Any, request: HttpRequest) -> Any:
        response = self._service.run(api, message, request.seconds_left(), request.cancellation)
        request.seconds_left()  # raises if it is too late to write the response
        return response

    def _counted(self, handler: "_Handler", match: re.Match[str], request: HttpRequest) -> bytes:
        """Calls a handler that runs a model, with the decompressed body; tells the metrics."""
        code = errors.Internal.code
        try:
            body = gunzip(request.body, request.headers, self._max_values)
            if len(body) > self._max_values:
                lists = body.count(b"[") + body.count(b"{")
                check_values(lists, self._max_values, "lists and objects in a body")
            if body is not request.body:
                request = replace(request, body=body)
            response = handler(self, match, request)
            code = 0
            return response
        except errors.ServingError as error:
            code = error.code
            raise
        finally:
            seconds = time.monotonic() - request.arrived
            self._metrics.request(_decoded(match["name"]), match["action"], "REST", code, seconds)


_Handler = Callable[[TensorFlowServingApi, re.Match[str], HttpRequest], bytes]


class _Route(NamedTuple):
    method: str
    pattern: re.Pattern[str]  # of a whole path; its group `action` is the name in the log
    handler: _Handler


_ROOT = "/v1/models"
_VERSION = "(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))"
_NAMELESS = f"{_ROOT}{_VERSION}"
_MODEL = f"{_ROOT}/(?P<name>[^/:]+){_VERSION}?"
_NAMELESS = f"{_ROOT}{_VERSION}"


def _route(method: str, path: str, handler: _Handler) -> _Route:
    return _Route(method, re.compile(path, re.IGNORECASE), handler)


# Paths are case-insensitive, but actions, in `(?-i:...)`, are not: as in TensorFlow Serving.
ROUTES = (
    _route("POST", f"{_MODEL}:(?P<action>(?-i:predict))", TensorFlowServingApi.predict),
    _route("POST", f"{_MODEL}:(?P<action>(?-i:classify))", TensorFlowServingApi.classify),
    _route("POST", f"{_MODEL}:(?P<action>(?-i:regress))", TensorFlowServingApi.regress),
    _route("GET", f"{_MODEL}/(?P<action>(?-i:metadata))", TensorFlowServingApi.model_metadata),
    _route("GET", f"{_MODEL}(?:/(?P<action>metadata))?", TensorFlowServingApi.model_status),
    _route("GET", _ROOT, TensorFlowServingApi.model_names),
    _route("GET", f"{_NAMELESS}(?:/(?P<action>metadata))?", TensorFlowServingApi.missing_name),
)
_WRONG_CASE = re.compile(f"{_MODEL}:(?P<action>predict|classify|regress)", re.IGNORECASE)


def described(target: str) -> tuple[str, str] | None:
    """The action and the model that a target names, for the log; None if it is no endpoint."""
    for pattern in (*(route.pattern for route in ROUTES), _WRONG_CASE):
        if match := pattern.fullmatch(target):
            groups = match.groupdict()
            return groups.get("action") or "status", _decoded(groups.get("name") or "")
    return None


def _fill_examples(message: Any, match: re.Match[str], request: HttpRequest) -> None:
    _fill_spec(message.model_spec, match)
    request.seconds_left()  # raises if it is too late to read the body
    json_decode.fill_examples(message, request.body)


def _fill_spec(spec: wire.ModelSpec, match: re.Match[str]) -> None:
    spec.name = _decoded(match["name"])
    if match["version"] is not None:
        # Checked before `int`, whose error for thousands of digits is another one.
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


def _printed(message: wire.Message) -> str:
    text: str = json_format.MessageToJson(
        message,
        indent=1,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        ensure_ascii=False,
        descriptor_pool=wire.POOL,
    )
    return text
