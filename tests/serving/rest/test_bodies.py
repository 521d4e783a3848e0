"""The REST API: TensorFlow Serving's bodies, codes and texts."""

import errno
import gzip
import json
import time

import pytest
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from keras_attention_serving import errors
from keras_attention_serving.protocol import wire
from keras_attention_serving.rest import json_decode
from keras_attention_serving.rest.api import _HTTP_STATUS
from keras_attention_serving.rest.compressed_bodies import MAX_VALUES
from keras_attention_serving.rest.server import complain_once
from tests.serving.rest.calls import (
    PREDICT,
    X,
    ask,
    error_of,
    post,
)


def test_predict_by_rows(server):
    status, text, headers = ask(server, "POST", f"/v1/models/{PREDICT}", X)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert text == '{\n    "predictions": [[2.0, 4.0, 6.0], [10.0, 14.0, 22.0]\n    ]\n}'


def test_predict_by_columns(server):
    assert post(server, PREDICT, '{"inputs": [[0.5, 2, 3]]}') == (
        200,
        '{\n    "outputs": [\n        [\n            1.0,\n            4.0,\n            6.0\n'
        "        ]\n    ]\n}",
    )


def test_several_inputs_and_outputs(server):
    body = {"signature_name": "combine", "instances": [{"left": 2, "right": 3}]}
    assert post(server, PREDICT, json.dumps(body)) == (
        200,
        '{\n    "predictions": [\n        {\n            "difference": -1.0,\n'
        '            "product": 6.0,\n            "sum": 5.0\n        }\n    ]\n}',
    )
    body = {"signature_name": "combine", "inputs": {"left": [2], "right": [3]}}
    status, text = post(server, PREDICT, json.dumps(body))
    assert json.loads(text) == {"outputs": {"difference": [-1], "product": [6], "sum": [5]}}


def test_text(server):
    body = '{"signature_name": "tokenize", "instances": ["one two", {"b64": "w7w="}, "\\u00fc"]}'
    rows = json.loads(post(server, PREDICT, body)[1])["predictions"]
    assert rows == [
        {"tokens": ["one", "two"], "count": 2, "upper": "ONE TWO"},
        {"tokens": ["\u00fc", ""], "count": 1, "upper": "\u00dc"},
        {"tokens": ["\u00fc", ""], "count": 1, "upper": "\u00dc"},
    ]


def test_nan_and_infinity(server):
    body = '{"instances": [[NaN, Infinity, -Infinity]]}'
    assert "[[NaN, Infinity, -Infinity]" in post(server, PREDICT, body)[1]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("model:predict", 5.0),  # the newest
        ("model/versions/5:predict", 5.0),
        ("model/versions/0003:predict", 2.0),
        ("model/labels/stable:predict", 2.0),
        ("model/labels/a%20b:predict", 5.0),
        ("model/LABELS/stable:predict", 2.0),
        ("a%2Fb%20%C3%BC:predict", 5.0),
    ],
)
def test_versions_and_labels(server, path, answer):
    status, text = post(server, path, '{"inputs": 1}')
    assert (status, json.loads(text)) == (200, {"outputs": answer})


def test_paths_are_case_insensitive_but_actions_are_not(server):
    assert ask(server, "POST", "/V1/Models/model/Versions/3:predict", X)[0] == 200
    assert ask(server, "GET", "/V1/MODELS/model")[0] == 200
    assert post(server, "model:PREDICT", X)[0] == 400
    status, text, _ = ask(server, "GET", "/v1/models/model/METADATA")  # that of the versions
    assert (status, list(json.loads(text))) == (200, ["model_version_status"])


def test_classify_and_regress(server):
    body = '{"signature_name": "classify", "examples": [{"x": 3.0}, {"x": 1.0}]}'
    assert post(server, "examples:classify", body) == (
        200,
        '{\n    "results": [[["low", 0.25], ["high", 0.75]], [["low", 0.5], ["high", 0.5]]\n'
        "    ]\n}",
    )
    body = '{"signature_name": "regress", "context": {"x": [0.5]}, "examples": [{}, {"x": 2.5}]}'
    assert post(server, "examples:regress", body) == (200, '{\n    "results": [1.0, 5.0]\n}')


def test_status(server):
    status, text, _ = ask(server, "GET", "/v1/models/model")
    assert status == 200
    assert [entry["version"] for entry in json.loads(text)["model_version_status"]] == ["5", "3"]
    status, text, headers = ask(server, "GET", "/v1/models/model/versions/3")
    assert headers["content-type"] == "application/json"
    assert text == (
        '{\n "model_version_status": [\n  {\n   "version": "3",\n   "state": "AVAILABLE",\n'
        '   "status": {\n    "error_code": "OK",\n    "error_message": ""\n   }\n  }\n ]\n}\n'
    )
    official = json_format.Parse(text, get_model_status_pb2.GetModelStatusResponse())
    assert official.model_version_status[0].state == 30


@pytest.mark.parametrize("path", ["model/metadata", "model/labels/stable/metadata"])
def test_metadata(server, path):
    status, text, _ = ask(server, "GET", f"/v1/models/{path}")
    answer = json.loads(text)
    version = "3" if "stable" in path else "5"
    assert answer["model_spec"] == {"name": "model", "signature_name": "", "version": version}
    signatures = answer["metadata"]["signature_def"]
    official = json_format.ParseDict(signatures, get_model_metadata_pb2.SignatureDefMap())
    x = official.signature_def["serving_default"].inputs["x"]
    assert [dim.size for dim in x.tensor_shape.dim] == [-1, 3]
    assert signatures["signature_def"]["serving_default"]["inputs"]["x"] == {
        "dtype": "DT_FLOAT",
        "name": x.name,
        "tensor_shape": {
            "dim": [{"size": "-1", "name": ""}, {"size": "3", "name": ""}],
            "unknown_rank": False,
        },
    }


@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        ("POST", "/v1/models/model", "Malformed request: POST /v1/models/model"),
        ("GET", "/v1/models/model:predict", "Malformed request: GET /v1/models/model:predict"),
        ("POST", "/v1/models/model:PREDICT", "Malformed request: POST /v1/models/model:PREDICT"),
        ("POST", "/v1/models/model:guess", "Malformed request: POST /v1/models/model:guess"),
        ("POST", "/v1/models/model:predict?a=1", "POST /v1/models/model:predict?a=1"),
        ("POST", "/v1/models/m/versions/3/labels/x:predict", "POST /v1/models/m/versions/3/labels"),
        (
            "POST",
            "/v1/models/m/versions/-3:predict",
            "Malformed request: POST /v1/models/m/versions",
        ),
        ("GET", "/v1/models/model/metadata/", "Malformed request: GET /v1/models/model/metadata/"),
        ("GET", "/v1/models/versions/3", "Missing model name in request."),
        ("GET", "/v1/models/labels/stable", "Missing model name in request."),
        ("GET", "/v1/", "Malformed request: GET /v1/"),
        ("PUT", "/v1/models/model", "Malformed request: PUT /v1/models/model"),
        ("DELETE", "/v1/models/model", "Malformed request: DELETE /v1/models/model"),
        ("OPTIONS", "/v1/models/model", "Malformed request: OPTIONS /v1/models/model"),
        ("GET", "/v1/models/metadata/metadata/x", "Malformed request: "),
        (
            "POST",
            "/v1/models/model/versions/9223372036854775808:predict",
            "Failed to convert version: 9223372036854775808 to numeric.",
        ),
    ],
)
def test_malformed_requests(server, method, path, text):
    status, body, headers = ask(server, method, path, X if method == "POST" else None)
    assert (status, headers["content-type"]) == (400, "application/json")
    assert text in error_of(body)


def test_list_of_models(server):
    status, text, headers = ask(server, "GET", "/v1/models")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(text) == {"models": ["a/b \u00fc", "examples", "model"]}


def test_names_in_the_paths_of_the_open_inference_protocol(server):
    status, text, _ = ask(server, "GET", "/v2/models/a%2Fb%20%C3%BC/ready")
    assert (status, json.loads(text)) == (200, {"name": "a/b \u00fc", "ready": True})


@pytest.mark.parametrize("path", ["/", "/v3/models/model", "/v1", "/v20", "/index.html"])
def test_what_does_not_exist(server, path):
    status, text, headers = ask(server, "GET", path)
    assert (status, headers["content-type"]) == (404, "text/html")
    assert text.startswith("<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>")


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("none:predict", X, 404, "Servable not found for request: Latest(none)"),
        ("model/versions/7:predict", X, 404, "Servable not found for request: Specific(model, 7)"),
        ("model/labels/x:predict", X, 400, "Unrecognized servable version label: x"),
        ("model:predict", "", 400, "JSON Parse error: The document is empty"),
        (
            "model:predict",
            "{",
            400,
            "JSON Parse error: Missing a name for object member. at offset",
        ),
        ("model:predict", "{}", 400, "Missing 'inputs' or 'instances' key"),
        (
            "model:predict",
            '{"signature_name": "s", "inputs": 1}',
            400,
            'Serving signature name: "s" not found in signature def',
        ),
        (
            "model:predict",
            '{"signature_name": "echo", "inputs": 1}',
            400,
            "inputs is a plain value/list, but expecting an object as multiple input tensors",
        ),
        (
            "model:predict",
            '{"signature_name": "wait", "instances": [0]}',
            400,
            "",  # what the graph says of a vector where it wants a number
        ),
        (
            "examples:regress",
            '{"signature_name": "s", "examples": [{}]}',
            400,
            "No signature was found with the name: s",
        ),
        ("examples:regress", '{"signature_name": "regress", "examples": [{}]}', 400, "Feature: x"),
    ],
)
def test_errors(server, path, body, status, text):
    seen, answer = post(server, path, body)
    assert seen == status
    assert text in error_of(answer)


def test_errors_of_status(server):
    status, text, _ = ask(server, "GET", "/v1/models/none")
    assert (status, error_of(text)) == (404, "Could not find any versions of model none")
    status, text, _ = ask(server, "GET", "/v1/models/model/versions/7")
    assert (status, error_of(text)) == (404, "Could not find version 7 of model model")
    status, text, _ = ask(server, "GET", "/v1/models/model/versions/7/metadata")
    assert (status, error_of(text)) == (404, "Servable not found for request: Specific(model, 7)")


def test_outputs_that_are_no_rows(server):
    body = '{"signature_name": "wait", "inputs": 0}'
    assert json.loads(post(server, PREDICT, body)[1])["outputs"]["waited"] == 0
    body = '{"instances": 1}'
    assert post(server, PREDICT, body)[0] == 400


def test_every_status_has_its_code(service):
    codes = {kind.code: kind for kind in errors.ServingError.__subclasses__()}
    assert {codes[code].__name__: status for code, status in _HTTP_STATUS.items()} == {
        **{"Cancelled": 499, "Unknown": 500, "InvalidArgument": 400, "DeadlineExceeded": 504},
        **{"NotFound": 404, "AlreadyExists": 409, "PermissionDenied": 403},
        **{"ResourceExhausted": 429, "FailedPrecondition": 400, "Aborted": 409},
        **{"OutOfRange": 400, "Unimplemented": 501, "Internal": 500, "Unavailable": 503},
        **{"DataLoss": 500, "Unauthenticated": 401},
    }


def test_the_timeout(serve):
    server = serve(timeout_seconds=0.5)
    body = '{"signature_name": "wait", "inputs": 20}'
    start = time.monotonic()
    status, text = post(server, "model:predict", body)
    assert status == 504
    assert error_of(text)
    assert time.monotonic() - start < 10
    assert post(server, PREDICT, X)[0] == 200


def test_no_timeout(serve):
    body = '{"signature_name": "wait", "inputs": 0.1}'
    assert post(serve(timeout_seconds=None), "model:predict", body)[0] == 200


# HTTP.


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "gzip, identity"])
def test_compressed_bodies(server, encoding):
    body = gzip.compress(X.encode())
    assert post(server, PREDICT, body, **{"Content-Encoding": encoding})[0] == 200


def test_bodies_that_are_too_much_once_unpacked(server):
    limit = 100 << 20
    for size, text in [
        (limit, '{"outputs": '),
        (limit + 1, "JSON Parse error: The document is empty"),
    ]:
        head = b'{"inputs": 1}'
        packed = gzip.compress(head + b" " * (size - len(head)), 1)
        status, answer = post(server, PREDICT, packed, **{"Content-Encoding": "gzip"})
        assert text in answer.replace("\n    ", "")
        assert status == (200 if "outputs" in text else 400)


@pytest.mark.parametrize("body", [X.encode(), gzip.compress(X.encode(), mtime=0)[:-9], b""])
def test_broken_compression(server, body):
    status, text = post(server, PREDICT, body, **{"Content-Encoding": "gzip"})
    assert (status, error_of(text)) == (400, "JSON Parse error: The document is empty")


@pytest.mark.parametrize("value", [b"[]", b"{}", b"1", b"[[2]]"])
def test_few_bytes_that_become_many_values(server, value):
    values = b",".join([value] * (MAX_VALUES + 3))
    body = gzip.compress(b'{"instances": [' + values + b"]}")
    status, text = post(server, PREDICT, body, **{"Content-Encoding": "gzip"})
    assert status == 429
    assert "--rest_api_max_unzipped_values" in error_of(text)


@pytest.mark.parametrize("value", [b"[]", b"{}"])
def test_too_many_lists(server, value):
    body = b'{"instances": [' + b",".join([value] * (MAX_VALUES + 3)) + b"]}"
    status, text = post(server, PREDICT, body)
    assert status == 429
    assert "lists and objects in a body (--rest_api_max_unzipped_values)" in error_of(text)


def test_the_deadline_while_a_body_is_read():
    calls = []

    def check():
        calls.append(len(calls))
        if len(calls) == 4:
            raise errors.DeadlineExceeded("too late")

    signature = wire.SignatureDef()
    signature.inputs["x"].dtype = 1
    body = b'{"instances": [' + b"[2, 3]," * 5003 + b"[2]]}"
    with pytest.raises(errors.DeadlineExceeded):
        json_decode.fill_predict(wire.PredictRequest(), body, lambda: signature.inputs, check)


def test_out_of_file_descriptors(caplog):
    handle = complain_once()
    error = OSError(errno.EMFILE, "Too many open files")
    for _ in range(2048):
        handle(None, {"message": "socket.accept() out of system resource", "exception": error})
    assert caplog.messages == ["Connections cannot be accepted: Too many open files"]


def test_cross_origin(serve, server):
    open_server = serve(cors=True)
    wanted = {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "POST, GET",
        "access-control-allow-headers": "Content-Type",
    }
    path = f"/v1/models/{PREDICT}"
    origin = {"Origin": "http://example.org"}
    for method, body, headers in [
        ("OPTIONS", None, origin),
        ("OPTIONS", None, {"Origin": "HTTPS://example.org"}),
        ("POST", X, origin),
        ("POST", X, {}),
    ]:
        status, text, seen = ask(open_server, method, path, body, headers)
        assert status == 200
        assert (text == "") == (method == "OPTIONS")
        assert {name: seen[name] for name in wanted} == wanted
    for headers in ({}, {"Origin": "file:///x"}):
        status, text, _ = ask(open_server, "OPTIONS", path, None, headers)
        assert (status, error_of(text)) == (400, "Origin header is missing in CORS preflight")
    assert ask(open_server, "POST", "/v1/x", "", origin)[2]["access-control-allow-origin"] == "*"
    assert ask(server, "POST", path, X, origin)[2]["access-control-allow-origin"] is None
