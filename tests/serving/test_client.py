"""Both clients against the real server."""

import asyncio
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

import keras_attention_serving
from keras_attention_serving import AsyncClient, Client, TensorSpec, VersionStatus, errors, tls
from keras_attention_serving.protocol import wire
from keras_attention_serving.server import Server

X = np.array([[1, 2, 3], [5, 7, 11]], np.float32)
TWICE = [[2, 4, 6], [10, 14, 22]]


class Blocking:
    """`AsyncClient` with the calls of `Client`, so that both pass the same tests."""

    def __init__(self, *args, **kwargs):
        self._runner = asyncio.Runner()
        self._args, self._kwargs = args, kwargs

    def __enter__(self):
        try:
            self._client = self._runner.run(self._open())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(self, *exc_info):
        self._runner.run(self._client.close())
        self._runner.close()

    def __getattr__(self, name):
        method = getattr(self._client, name)
        return lambda *args, **kwargs: self._runner.run(method(*args, **kwargs))

    async def _open(self):
        return AsyncClient(*self._args, **self._kwargs)


@pytest.fixture(params=[Client, Blocking], ids=["sync", "async"])
def client_class(request):
    return request.param


@pytest.fixture
def client(client_class, address):
    with client_class(address, timeout=30) as client:
        yield client


def test_predict(client):
    outputs = client.predict("model", {"x": X})
    assert list(outputs) == ["y"]
    assert outputs["y"].dtype == np.float32
    assert outputs["y"].tolist() == TWICE


def test_python_values(client):
    assert client.predict("model", {"x": [[1, 2, 3.0]]})["y"].tolist() == [[2, 4, 6]]
    outputs = client.predict("model", {"text": ["one two", "\u00fc"]}, signature="tokenize")
    assert outputs["upper"].tolist() == [b"ONE TWO", "\u00dc".encode()]
    assert outputs["tokens"].shape == (2, 2)
    assert outputs["count"].dtype == np.int64


def test_options_of_predict(client):
    outputs = client.predict(
        "model",
        {"left": [2.0], "right": [5.0]},
        signature="combine",
        version=3,
        output_filter=["difference"],
    )
    assert {name: value.tolist() for name, value in outputs.items()} == {"difference": [-3]}


def test_every_dtype(client, saved_model):
    inputs = {
        name: np.ones((2, 3), spec.dtype) if spec.dtype != object else np.full((2, 3), b"x", object)
        for name, spec in client.metadata("model").signatures["echo"].inputs.items()
    }
    assert len(inputs) == 16
    for name, output in client.predict("model", inputs, signature="echo").items():
        np.testing.assert_array_equal(output, inputs[name], strict=True)


def test_metadata(client):
    metadata = client.metadata("model")
    assert (metadata.name, metadata.version) == ("model", 3)
    assert list(metadata.signatures) == ["combine", "echo", "serving_default", "tokenize", "wait"]
    signature = metadata.signatures["tokenize"]
    assert signature.inputs == {"text": TensorSpec(np.dtype(object), (None,))}
    assert signature.outputs == {
        "count": TensorSpec(np.dtype(np.int64), (None,)),
        "tokens": TensorSpec(np.dtype(object), (None, None)),
        "upper": TensorSpec(np.dtype(object), (None,)),
    }
    assert signature.method_name == "tensorflow/serving/predict"
    assert metadata.signatures["echo"].inputs["float16"] == TensorSpec(np.dtype(np.float16), None)
    assert client.metadata("model", version=3).version == 3


def test_status(client):
    assert client.status("model") == [VersionStatus(3, "AVAILABLE", 0, "")]
    assert client.status("model", version=3) == [VersionStatus(3, "AVAILABLE", 0, "")]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": "other"}, errors.NotFound, "Servable not found for request: Latest(other)"),
        (
            {"version": 4},
            errors.NotFound,
            "Servable not found for request: Specific(model, 4)",
        ),
        (
            {"label": "stable"},
            errors.InvalidArgument,
            "Unrecognized servable version label: stable",
        ),
        (
            {"signature": "nothing"},
            errors.FailedPrecondition,
            'Serving signature key "nothing" not found.',
        ),
        (
            {"inputs": {"x": [[1, 2, 3]]}},
            errors.InvalidArgument,
            "Expects arg[0] to be float but int32 is provided",
        ),
    ],
)
def test_errors_are_typed(client, arguments, error, message):
    with pytest.raises(error) as caught:
        client.predict(**{"model": "model", "inputs": {"x": X}, **arguments})
    assert caught.value.message == message


def test_version_and_label(client):
    with pytest.raises(ValueError, match="not both. Received: version=3, label='stable'"):
        client.predict("model", {"x": X}, version=3, label="stable")


def test_deadline(client_class, address):
    with client_class(address, timeout=0.2) as client:
        start = time.monotonic()
        with pytest.raises(errors.DeadlineExceeded):
            client.predict("model", {"seconds": np.float64(60)}, signature="wait")
        assert time.monotonic() - start < 30
        wait = {"seconds": np.float64(0.5)}
        assert client.predict("model", wait, signature="wait", timeout=30)["waited"] == 0.5


def test_nobody_there(client_class):
    with client_class("127.0.0.1:1", timeout=30, attempts=2) as client:
        for call in (client.status, client.metadata):
            with pytest.raises(errors.Unavailable, match="No answer from 127.0.0.1:1: "):
                call("model")


def test_waits_for_a_server_that_comes_late(client_class, base_path):
    with Server({"model": base_path}, port=0, host="127.0.0.1") as server:
        port = server.port  # free again, and nobody else's for the moment
    late = []
    timer = threading.Timer(
        0.2, lambda: late.append(Server({"model": base_path}, port=port, host="127.0.0.1"))
    )
    timer.start()
    with client_class(f"127.0.0.1:{port}", timeout=30, wait_for_ready=True) as client:
        assert client.predict("model", {"x": X})["y"].tolist() == TWICE
    timer.join()
    late[0].stop()


@pytest.fixture
def moody():
    """A gRPC server that fails the first two calls with UNAVAILABLE; counts all calls."""
    calls = []

    def predict(request, context):
        calls.append(request.model_spec.name)
        if len(calls) < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return wire.PredictResponse()

    handler = grpc.unary_unary_rpc_method_handler(
        predict, wire.PredictRequest.FromString, wire.PredictResponse.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(wire.PREDICTION_SERVICE, {"Predict": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", calls
    server.stop(None).wait()


def test_tries_again_while_nobody_answers(client_class, moody):
    address, calls = moody
    with client_class(address, timeout=30) as client:
        assert client.predict("model", {}) == {}
    assert calls == ["model"] * 3


def test_tries_once_if_told_so(client_class, moody):
    address, calls = moody
    with client_class(address, timeout=30, attempts=1) as client:
        with pytest.raises(errors.Unavailable, match=f"^No answer from {address}: not now$"):
            client.predict("model", {})
    assert calls == ["model"]


def test_gzip(client_class, address):
    with client_class(address, timeout=30, gzip=True) as client:
        assert client.predict("model", {"x": X})["y"].tolist() == TWICE


def test_spreads_calls_over_all_addresses(client_class, base_path, publish, tmp_path):
    other = publish(tmp_path / "other", 3, 5)
    with (
        Server({"model": base_path}, port=0, host="127.0.0.1") as two,
        Server({"model": other}, port=0, host="127.0.0.1") as five,
        client_class(f"ipv4:127.0.0.1:{two.port},127.0.0.1:{five.port}", timeout=30) as client,
    ):
        seen, end = set(), time.monotonic() + 30
        while len(seen) < 2 and time.monotonic() < end:
            seen.add(float(client.predict("model", {"x": np.float32(1)})["y"]))
    assert seen == {2, 5}


def test_large_messages(client):
    x = np.ones((500_000, 3), np.float32)
    assert client.predict("model", {"x": x})["y"].shape == (500_000, 3)


def test_calls_of_one_loop_overlap(address):
    async def main():
        async with AsyncClient(address, timeout=30) as client:
            wait = {"seconds": np.float64(0.7)}
            calls = [client.predict("model", wait, signature="wait") for _ in range(4)]
            return await asyncio.gather(*calls)

    start = time.monotonic()
    assert [output["waited"] for output in asyncio.run(main())] == [0.7] * 4
    assert time.monotonic() - start < 4 * 0.7


def test_one_client_for_many_threads(address):
    results = {}
    with Client(address, timeout=30) as client:

        def work(number):
            results[number] = client.predict("model", {"x": np.float32(number)})["y"]

        threads = [threading.Thread(target=work, args=(number,)) for number in range(7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {number: float(y) for number, y in results.items()} == {n: 2 * n for n in range(7)}


@pytest.fixture(scope="module")
def tls_address(base_path, certificates):
    """The address of a server with a certificate that requires one of its clients."""

    def read(name):
        return (certificates / name).read_bytes()

    credentials = grpc.ssl_server_credentials(
        [(read("server.key"), read("server.pem"))], read("root.pem"), require_client_auth=True
    )
    with Server({"model": base_path}, port=0, host="127.0.0.1", credentials=credentials) as server:
        yield f"localhost:{server.port}"


def test_tls(client_class, tls_address, certificates):
    credentials = tls(
        certificates / "root.pem", certificates / "client.pem", certificates / "client.key"
    )
    with client_class(tls_address, timeout=30, credentials=credentials) as client:
        assert client.predict("model", {"x": X})["y"].tolist() == TWICE


@pytest.mark.parametrize("known", [True, False])
def test_tls_refuses_strangers(client_class, tls_address, certificates, known):
    """A client without a certificate, and a server with one that nobody vouches for."""
    credentials = tls(certificates / "root.pem") if known else tls()
    with client_class(tls_address, timeout=30, credentials=credentials, attempts=1) as client:
        with pytest.raises(errors.Unavailable, match=f"No answer from {tls_address}"):
            client.predict("model", {"x": X})


def test_tls_wants_certificate_and_key(certificates):
    with pytest.raises(ValueError, match="Expected certificate and key together"):
        tls(certificate=certificates / "client.pem")


@pytest.mark.parametrize("timeout", [None, 0, -1])
def test_there_is_always_a_deadline(client_class, timeout):
    with pytest.raises(ValueError, match=f"more than 0 seconds. Received: timeout={timeout}"):
        with client_class("localhost:8500", timeout=timeout):
            pass


@pytest.mark.parametrize("attempts", [0, 6, 2.5, True, None])
def test_attempts(attempts):
    with pytest.raises(ValueError, match=f"from 1 to 5. Received: attempts={attempts}"):
        Client("localhost:8500", attempts=attempts)


def test_loads_neither_tensorflow_nor_keras(address):
    program = f"""
import sys, time
start = time.perf_counter()
from keras_attention_serving import Client
seconds = time.perf_counter() - start
with Client({address!r}, timeout=30) as client:
    print(client.predict("model", {{"x": [[1.0, 2.0, 3.0]]}})["y"].tolist())
heavy = ("tensorflow", "keras", "keras_attention", "keras_attention_serving.runtime")
print([name for name in heavy if name in sys.modules])
print(f"import: {{seconds:.2f}} s")
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    print(run.stdout)
    assert run.stdout.startswith("[[2.0, 4.0, 6.0]]\n[]\n")


def test_all_is_what_can_be_imported():
    for name in keras_attention_serving.__all__:
        assert getattr(keras_attention_serving, name)
    assert keras_attention_serving.__all__ == sorted(keras_attention_serving.__all__)
