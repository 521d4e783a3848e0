"""The REST API: connections, and clients that are slow, hostile or gone."""

import random
import socket
import struct
import subprocess
import threading
import time

import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from keras_attention_serving import errors
from keras_attention_serving.monitoring.prometheus import PrometheusMetrics
from keras_attention_serving.rest.server import RestServer
from tests.serving.rest.calls import DEADLINE, PREDICT, X, ask, message, post, raw, received


def test_a_connection_is_kept(server):
    with urllib3.HTTPConnectionPool("127.0.0.1", server.port, maxsize=1, timeout=DEADLINE) as pool:
        for _ in range(3):
            assert pool.request("POST", f"/v1/models/{PREDICT}", body=X).status == 200
            assert pool.request("GET", "/v1/models/none").status == 404
        assert pool.num_connections == 1


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


OFFER = "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAI"


@pytest.mark.parametrize("offer", [OFFER, ("Upgrade: websocket", "connection: upgrade")])
@pytest.mark.parametrize("sizes", [(), (5, 7), (-len(X),), (-3,), (-len(X) - 1,)], ids=str)
def test_an_offer_of_another_protocol_is_ignored(server, caplog, offer, sizes):
    """Packets end after so many bytes; a second request follows in the last one."""
    text = message(PREDICT, X, *offer)
    with raw(server) as connection:
        for start, end in zip((0, *sizes), (*sizes, len(text)), strict=True):
            connection.sendall(text[start:end])
            time.sleep(0.05)
        connection.sendall(text + message(PREDICT, X, "Connection: close"))
        answers = received(connection).split(b"HTTP/1.1 200 OK")[1:]
    assert [b"[10.0, 14.0, 22.0]" in answer for answer in answers] == [True] * 3
    assert not caplog.records


@pytest.mark.parametrize("arguments", [[], ["-H", "Transfer-Encoding: chunked"]], ids=str)
def test_curl_offers_http2(server, arguments):
    url = f"http://127.0.0.1:{server.port}/v1/models/{PREDICT}"
    command = ["curl", "-sS", "--http2", "-w", "%{http_code}", "-d", X, *arguments, url, url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE)
    assert done.stdout.count("[10.0, 14.0, 22.0]") == done.stdout.count("}200") == 2


@pytest.mark.parametrize("target", ["example.org:443", "/v1/models/model"])
def test_no_proxy(server, target):
    with raw(server) as connection:
        connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1") == 1


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
    monkeypatch.setattr("keras_attention_serving.rest.server.SILENCE_SECONDS", 1.0)
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
