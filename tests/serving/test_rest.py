"""The REST API over loopback: TensorFlow Serving's bodies, codes and texts; hostile clients."""

import gzip
import http.client
import json
import random
import shutil
import socket
import struct
import threading
import time

import pytest
import tensorflow as tf
import urllib3
from google.protobuf import json_format, text_format
from prometheus_client.parser import text_string_to_metric_families
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from keras_attention_serving import errors, json_encode, rest_server, wire
from keras_attention_serving.loading import SavedModelLoader
from keras_attention_serving.prometheus import PrometheusMetrics
from keras_attention_serving.rest_server import RestServer
from keras_attention_serving.servables import Servables
from keras_attention_serving.service import Service

DEADLINE = 30
CONFIG = """
model_config_list {{
  config {{
    name: "model" base_path: "{base}" model_platform: "tensorflow"
    model_version_policy {{ all {{}} }}
    version_labels {{ key: "stable" value: 3 }}
    version_labels {{ key: "a b" value: 5 }}
  }}
  config {{ name: "a/b \\303\\274" base_path: "{base}" model_platform: "tensorflow" }}
  config {{ name: "examples" base_path: "{examples}" model_platform: "tensorflow" }}
}}
"""


class Examples(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs):
        x = self.x(inputs)
        labels = tf.constant(["low", "high"])[None]
        scores = tf.stack([1 / (1 + x), x / (1 + x)], 1)
        return {"classes": tf.repeat(labels, tf.shape(x)[0], 0), "scores": scores}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress(self, inputs):
        return {"outputs": 2 * self.x(inputs)}

    def x(self, inputs):
        features = {"x": tf.io.FixedLenFeature([], tf.float32)}
        return tf.io.parse_example(inputs, features)["x"]


@pytest.fixture(scope="module")
def metrics():
    return PrometheusMetrics()


@pytest.fixture(scope="module")
def service(exports, tmp_path_factory, metrics):
    base = tmp_path_factory.mktemp("rest")
    for version, scale in ((3, 2), (5, 5)):
        shutil.copytree(exports[scale], base / "model" / str(version))
    module = Examples()
    signatures = {"classify": module.classify, "regress": module.regress}
    tf.saved_model.save(module, str(base / "examples" / "2"), signatures=signatures)
    servables = Servables(
        SavedModelLoader(), poll_wait_seconds=0, allow_labels_for_unavailable=True
    )
    text = CONFIG.format(base=base / "model", examples=base / "examples")
    servables.start(text_format.Parse(text, wire.ModelServerConfig()))
    while len(servables.available()) < 4:  # a model is ready with its first version
        time.sleep(0.01)
    yield Service(servables, metrics=metrics)
    servables.close()


@pytest.fixture(scope="module")
def serve(service):
    """Starts servers of the service, with arguments of `RestServer`."""
    running = []

    def serve(**arguments):
        server = RestServer(service, **{"port": 0, "host": "127.0.0.1", **arguments})
        server.start()
        running.append(server)
        return server

    yield serve
    for server in running:
        server.stop(1)


@pytest.fixture(scope="module")
def server(serve, metrics):
    return serve(metrics=metrics, metrics_path="/metrics")


def ask(server, method, path, body=None, headers=None):
    """Status, text and headers of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read().decode(), response.headers
    finally:
        connection.close()


def post(server, path, body, **headers):
    status, text, _ = ask(server, "POST", f"/v1/models/{path}", body, headers)
    return status, text


def error_of(text):
    """The message in an error body, which must be printed as TensorFlow Serving prints it."""
    message = json.loads(text)["error"]
    assert text.encode() == json_encode.error(message)
    return message


PREDICT = "model/versions/3:predict"
X = '{"instances": [[1, 2, 3], [5, 7, 11]]}'


# What is asked.


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


def test_paths_may_shout(server):
    assert ask(server, "POST", "/V1/Models/model/Versions/3:predict", X)[0] == 200
    assert ask(server, "GET", "/V1/MODELS/model")[0] == 200


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
        ("GET", "/v1/", "Malformed request: GET /v1/"),
        ("PUT", "/v1/models/model", "Malformed request: PUT /v1/models/model"),
        ("DELETE", "/v1/models/model", "Malformed request: DELETE /v1/models/model"),
        ("OPTIONS", "/v1/models/model", "Malformed request: OPTIONS /v1/models/model"),
        ("GET", "/v1/models", "Missing model name in request."),
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


@pytest.mark.parametrize("path", ["/", "/v2/models/model", "/v1", "/index.html"])
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
    assert {codes[code].__name__: status for code, status in rest_server_codes().items()} == {
        **{"Cancelled": 499, "Unknown": 500, "InvalidArgument": 400, "DeadlineExceeded": 504},
        **{"NotFound": 404, "AlreadyExists": 409, "PermissionDenied": 403},
        **{"ResourceExhausted": 429, "FailedPrecondition": 400, "Aborted": 409},
        **{"OutOfRange": 400, "Unimplemented": 501, "Internal": 500, "Unavailable": 503},
        **{"DataLoss": 500, "Unauthenticated": 401},
    }


def rest_server_codes():
    from keras_attention_serving import rest

    return rest._HTTP_STATUS


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


def test_a_connection_is_kept(server):
    with urllib3.HTTPConnectionPool("127.0.0.1", server.port, maxsize=1, timeout=DEADLINE) as pool:
        for _ in range(3):
            assert pool.request("POST", f"/v1/models/{PREDICT}", body=X).status == 200
            assert pool.request("GET", "/v1/models/none").status == 404
        assert pool.num_connections == 1


def raw(server):
    return socket.create_connection(("127.0.0.1", server.port), DEADLINE)


def message(path=PREDICT, body=X, *headers):
    lines = [f"POST /v1/models/{path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", body]).encode()


def received(connection):
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    return data


def test_pipelined_requests_are_answered_in_their_order(server):
    bodies = [f'{{"inputs": {i}}}' for i in range(7)]
    slow = '{"signature_name": "wait", "inputs": 0.3}'
    with raw(server) as connection:
        parts = [message("model:predict", slow), *(message(body=body) for body in bodies)]
        connection.sendall(b"".join(parts[:-1]) + message(PREDICT, bodies[-1], "Connection: close"))
        answers = received(connection).split(b"HTTP/1.1 200 OK")[1:]
    assert b'"waited": 0.3' in answers[0]
    for i, answer in enumerate(answers[1:]):
        assert f'"outputs": {2.0 * i}'.encode() in answer


def test_chunks_and_drips(server):
    text = message(PREDICT, "", "Transfer-Encoding: chunked", "Connection: close")
    head = text.replace(b"Content-Length: 0\r\n", b"")
    with raw(server) as connection:
        for i in range(0, len(head), 29):
            connection.sendall(head[i : i + 29])
            time.sleep(0.01)
        for character in X:
            connection.sendall(b"1\r\n" + character.encode() + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert b"[10.0, 14.0, 22.0]" in received(connection)


def test_a_client_that_waits_for_the_word_to_continue(server):
    with raw(server) as connection:
        head, body = message(PREDICT, X, "Expect: 100-continue", "Connection: close").split(
            b"\r\n\r\n"
        )
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 Continue\r\n")
        connection.sendall(body)
        assert b"[10.0, 14.0, 22.0]" in received(connection)


def test_old_clients(server):
    with raw(server) as connection:
        connection.sendall(message().replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert b"[10.0, 14.0, 22.0]" in received(connection)


def test_both_internet_protocols(serve):
    server = serve(host="::")
    assert server.address == f"localhost:{server.port}"
    for host in ("127.0.0.1", "::1"):
        with socket.create_connection((host, server.port), DEADLINE) as connection:
            connection.sendall(message(PREDICT, X, "Connection: close"))
            assert received(connection).startswith(b"HTTP/1.1 200 OK")


def test_a_port_that_is_taken(serve, service):
    port = serve().port
    with pytest.raises(errors.StartError, match=f"address=127.0.0.1:{port} "):
        RestServer(service, port=port, host="127.0.0.1")


# Metrics.


def test_metrics(server, metrics):
    def seen():
        status, text, headers = ask(server, "GET", "/metrics")
        assert (status, headers["content-type"]) == (200, "text/plain")
        return {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    model = ("model_name", "model")
    ok = (":tensorflow:serving:request_count_total", model, ("status", "OK"))
    wrong = (":tensorflow:serving:request_count_total", model, ("status", "INVALID_ARGUMENT"))
    latency = (":tensorflow:serving:request_latency_count", ("API", "predict"))
    latency = (*latency, ("entrypoint", "REST"), model)
    runtime = (":tensorflow:serving:runtime_latency_count", ("API", "Predict"), model)
    runtime = (*runtime, ("runtime", "TF1"))
    post(server, PREDICT, X)
    before = seen()
    post(server, PREDICT, X)
    post(server, PREDICT, "{")
    ask(server, "GET", "/v1/models/model")
    ask(server, "GET", "/v1/models/model/metadata")
    ask(server, "POST", "/v1/models/model")
    after = seen()
    grown = {key: value - before.get(key, 0) for key, value in after.items()}
    assert {key: grown.get(key) for key in (ok, wrong, latency, runtime)} == {
        **{ok: 1, wrong: grown[wrong], latency: 1, runtime: 1}
    }
    assert grown[wrong] == 1
    assert metrics.total("/tensorflow/serving/request_count") >= 2


def test_metrics_are_nowhere_else(server, serve):
    status, text, _ = ask(server, "GET", "/metrics?a=1")
    assert (status, text) == (400, "Unexpected path: /metrics?a=1. Should be /metrics")
    assert ask(server, "GET", "/metrics/")[0] == 404
    assert ask(serve(), "GET", "/monitoring/prometheus/metrics")[0] == 404


# Hostile and unlucky clients.


def test_probes_are_answered_while_predictions_wait(serve):
    server = serve(num_threads=1)
    body = '{"signature_name": "wait", "inputs": 2}'
    threads = [
        threading.Thread(target=post, args=(server, "model:predict", body)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    start = time.monotonic()
    assert ask(server, "GET", "/v1/models/model")[0] == 200
    assert time.monotonic() - start < 1
    for thread in threads:
        thread.join()


def test_who_has_left_is_not_worked_for(serve):
    counted = PrometheusMetrics()
    server = serve(num_threads=1, metrics=counted)
    long = '{"signature_name": "wait", "inputs": 1}'
    with raw(server) as first, raw(server) as second:
        first.sendall(message("model:predict", long, "Connection: close"))
        time.sleep(0.3)
        second.sendall(message("model:predict", long))
        time.sleep(0.1)
        second.close()
        assert b'"waited": 1' in received(first)
    assert post(server, PREDICT, X)[0] == 200
    counts = [line for line in counted.page().decode().splitlines() if "request_count{" in line]
    assert sorted(line.split("status=")[1] for line in counts) == ['"CANCELLED"} 1', '"OK"} 2']


def test_stopping_lets_requests_finish(serve):
    server = serve()
    with raw(server) as idle, raw(server) as busy:
        idle.sendall(message())
        assert idle.recv(65536).startswith(b"HTTP/1.1 200 OK")
        busy.sendall(message("model:predict", '{"signature_name": "wait", "inputs": 1}'))
        time.sleep(0.3)
        start = time.monotonic()
        server.stop(20)
        assert time.monotonic() - start < 10
        assert b'"waited": 1.0' in received(busy)
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        raw(server)


def test_stopping_does_not_wait_forever(serve):
    server = serve()
    with raw(server) as busy:
        busy.sendall(message("model:predict", '{"signature_name": "wait", "inputs": 7}'))
        time.sleep(0.3)
        start = time.monotonic()
        server.stop(1)
        assert time.monotonic() - start < 5


@pytest.fixture
def impatient(serve, monkeypatch):
    monkeypatch.setattr(rest_server, "SILENCE_SECONDS", 1.0)
    return serve()


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"POST /v1/mod",
        b"POST /v1/models/model:predict HTTP/1.1\r\nHost: x\r\n",
        message(),  # and nothing after it
    ],
    ids=["nothing", "a word", "half the headers", "one request"],
)
def test_silence_ends_a_connection(impatient, beginning):
    with raw(impatient) as connection:
        start = time.monotonic()
        connection.sendall(beginning)
        received(connection)
        assert time.monotonic() - start < 5


def test_a_body_that_does_not_come(impatient):
    with raw(impatient) as connection:
        head = message().replace(b"Content-Length: %d" % len(X), b"Content-Length: 1073741824")
        connection.sendall(head)
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Waited 1 s for the body of the request." in answer


def test_a_body_that_is_too_large(server):
    with raw(server) as connection:
        head = message().replace(b"Content-Length: %d" % len(X), b"Content-Length: 3000000000")
        connection.sendall(head)
        assert received(connection).startswith(b"HTTP/1.1 413 ")


def test_headers_without_end(server):
    with raw(server) as connection:
        connection.sendall(b"GET /v1/models/model HTTP/1.1\r\n")
        with pytest.raises(ConnectionError):
            for i in range(100_000):
                connection.sendall(b"X-%d: " % i + b"x" * 1000 + b"\r\n")


def test_clients_that_vanish(server):
    for part in (1, 20, len(message()) - 1, len(message())):
        connection = raw(server)
        connection.sendall(message()[:part])
        # With a reset instead of a farewell.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    assert post(server, PREDICT, X)[0] == 200


def test_many_silent_clients_cost_no_thread(server):
    before = threading.active_count()
    connections = [raw(server) for _ in range(211)]
    for connection in connections:
        connection.sendall(message()[:-1])
    assert post(server, PREDICT, X)[0] == 200
    assert threading.active_count() <= before + 1
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": ' + b"[" * 900 + b"1" + b"]" * 900 + b"}",
        b'{"instances": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"inputs": ' + b"[" * 300 + b"1" + b"]" * 300 + b"}",
        b'{"inputs": "' + b"\xff" * 1000 + b'"}',
        b'{"signature_name": "\xff\xfe", "inputs": 1}',
        b'{"signature_name": "\\u0000", "inputs": 1}',
        b'{"signature_name": "' + b"s" * 1_000_000 + b'", "inputs": 1}',
        b'{"inputs": ' + b"1" * 1_000_000 + b"}",
        b'{"inputs": {"b64": "' + b"A" * 1_000_001 + b'"}}',
        b"\x00" * 1000,
        b"\xef\xbb\xbf",
    ],
    ids=range(11),
)
def test_monsters(server, body):
    status, text = post(server, PREDICT, body)
    assert status == 400
    tell_nothing(text)


def tell_nothing(text):
    for secret in ("Traceback", ".py", "/tmp", "keras_attention", "Internal error"):
        assert secret not in text


def test_damaged_requests(server, caplog):
    generator = random.Random(7)
    good = [
        X.encode(),
        b'{"signature_name": "combine", "instances": [{"left": 2, "right": 3}]}',
        b'{"signature_name": "tokenize", "inputs": ["one two", {"b64": "AAAA"}]}',
    ]
    pool = urllib3.HTTPConnectionPool("127.0.0.1", server.port, timeout=DEADLINE, retries=False)
    statuses = set()
    for _ in range(1500):
        body = bytearray(generator.choice(good))
        for _ in range(generator.randrange(1, 4)):
            body[generator.randrange(len(body))] ^= 1 << generator.randrange(8)
        response = pool.request("POST", f"/v1/models/{PREDICT}", body=bytes(body))
        statuses.add(response.status)
        if response.status != 200:
            tell_nothing(response.data.decode())
    assert statuses == {200, 400}
    assert not caplog.records


def test_damaged_http(server):
    generator = random.Random(11)
    for _ in range(300):
        data = bytearray(message(PREDICT, X, "Connection: close"))
        for _ in range(generator.randrange(1, 4)):
            data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        with raw(server) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            tell_nothing(received(connection).decode("latin-1"))
    assert post(server, PREDICT, X)[0] == 200
