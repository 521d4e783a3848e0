"""The Open Inference Protocol goes where Predict goes: batches, deadlines, metrics, states."""

import json
import threading

import grpc
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from keras_attention_serving import Client
from keras_attention_serving.protocol import wire
from keras_attention_serving.server import Server
from keras_attention_serving.settings.options import Options
from tests.serving.open_inference.test_http import INFER, ask, tensor
from tests.serving.open_inference.test_tritonclient import MODULES, address, tensors

DEADLINE = 30
ROWS = 7
BATCHING = f"""
max_batch_size {{ value: {2 * ROWS} }}
batch_timeout_micros {{ value: 2000000 }}
max_enqueued_batches {{ value: 100 }}
"""
WAIT = {"seconds": np.float64([60])}


@pytest.fixture(scope="module")
def server(echo_path, tmp_path_factory):
    """Batching, a short limit for REST, pages of other sites, and metrics."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "batching").write_text(BATCHING)
    (folder / "monitoring").write_text('prometheus_config { enable: true, path: "/metrics" }')
    settings = Options(
        enable_batching=True,
        batching_parameters_file=str(folder / "batching"),
        monitoring_config_file=str(folder / "monitoring"),
        rest_api_timeout_in_ms=700,
        rest_api_enable_cors_support=True,
        max_run_time_in_ms=5000,
    )
    with Server(
        {"echo": echo_path}, port=0, rest_port=0, host="127.0.0.1", settings=settings
    ) as server:
        yield server


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_requests_of_both_protocols_at_once(server, transport):
    module, answers = MODULES[transport], {}

    def ask_v2(i):
        with module.InferenceServerClient(address(server, transport)) as client:
            x = np.full((ROWS, 3), i, np.float32)
            answers[i] = client.infer("echo", tensors(transport, {"x": x})).as_numpy("y")

    def ask_v1(i):
        with Client(f"127.0.0.1:{server.port}", timeout=DEADLINE) as client:
            answers[i] = client.predict("echo", {"x": np.full((ROWS, 3), i, np.float32)})["y"]

    asked = [threading.Thread(target=ask_v2 if i % 2 else ask_v1, args=(i,)) for i in range(8)]
    for thread in asked:
        thread.start()
    for thread in asked:
        thread.join()
    assert len(answers) == 8
    for i, answer in answers.items():
        np.testing.assert_array_equal(answer, np.full((ROWS, 3), i, np.float32))


def test_deadline_over_http(server):
    with tritonclient.http.InferenceServerClient(address(server, "http")) as client:
        with pytest.raises(InferenceServerException) as caught:
            client.infer("echo", tensors("http", WAIT), parameters={"signature_name": "wait"})
        assert caught.value.status() == "504"
        assert client.is_server_live()


def test_deadline_over_grpc(server):
    with tritonclient.grpc.InferenceServerClient(address(server, "grpc")) as client:
        with pytest.raises(InferenceServerException) as caught:
            client.infer(
                "echo",
                tensors("grpc", WAIT),
                parameters={"signature_name": "wait"},
                client_timeout=0.5,
            )
        assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"
        assert client.is_server_live()


def test_metrics(server):
    assert ask(server, "POST", INFER, json.dumps(tensor()))[0] == 200
    with tritonclient.grpc.InferenceServerClient(address(server, "grpc")) as client:
        client.infer("echo", tensors("grpc", {"x": np.float32([3])}))
    page = ask(server, "GET", "/metrics")[1].decode()
    assert 'request_count{model_name="echo",status="OK"}' in page
    for api, entrypoint in (("infer", "REST"), ("ModelInfer", "GRPC")):
        labels = f'model_name="echo",API="{api}",entrypoint="{entrypoint}"'
        assert f":tensorflow:serving:request_latency_count{{{labels}}}" in page
    assert 'runtime_latency_count{model_name="echo",API="ModelInfer",runtime="TF1"}' in page


def test_pages_of_other_sites(server):
    document = tensor()
    document["parameters"] = {"binary_data_output": True}
    status, _, headers = ask(server, "POST", INFER, json.dumps(document))
    assert (status, headers["access-control-allow-origin"]) == (200, "*")
    assert headers["content-type"] == "application/octet-stream"
    assert headers["inference-header-content-length"]


def ready(server):
    """Answers of both transports about the server and its models."""
    found = []
    for transport, module in MODULES.items():
        with module.InferenceServerClient(address(server, transport)) as client:
            found.append(
                (
                    client.is_server_live(),
                    client.is_server_ready(),
                    client.is_model_ready("echo"),
                    client.is_model_ready("other"),
                )
            )
    assert found[0] == found[1]
    return found[0]


def test_readiness_follows_the_models(echo_path, tmp_path):
    with Server({"echo": echo_path}, port=0, rest_port=0, host="127.0.0.1") as server:
        assert ready(server) == (True, True, True, False)
        request = wire.ReloadConfigRequest()
        configs = request.config.model_config_list.config
        for name, path in (("echo", echo_path), ("other", tmp_path / "other")):
            configs.add(name=name, base_path=str(path), model_platform="tensorflow")
        with grpc.insecure_channel(address(server, "grpc")) as channel:
            reload = channel.unary_unary(wire.HANDLE_RELOAD_CONFIG)
            with pytest.raises(grpc.RpcError) as caught:  # the folder is not there
                reload(request.SerializeToString(), timeout=1)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert ready(server) == (True, False, True, False)
            assert json.loads(ask(server, "GET", "/v1/models")[1]) == {"models": ["echo", "other"]}
            assert ask(server, "GET", "/v2/health/ready")[0] == 400
            del configs[1]
            reload(request.SerializeToString(), timeout=DEADLINE)
        assert ready(server) == (True, True, True, False)
