"""Settings that show from outside: REST, metrics, batching, labels, reload, channel arguments."""

import json
import socket
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import (
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_attention_serving import Client, errors, factory
from keras_attention_serving.server import Server
from keras_attention_serving.settings.options import Options

ONE = {"x": np.ones(1, np.float32)}
DEADLINE = 30


def get(url, body=None):
    """Status and text of the answer."""
    try:
        with urllib.request.urlopen(url, body, timeout=DEADLINE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def serve(base_path):
    servers = []

    def serve(models=None, **settings):
        server = Server(
            *(models or {"model": base_path},),
            port=0,
            rest_port=0,
            host="127.0.0.1",
            poll_wait_seconds=0.05,
            settings=Options(**settings),
        )
        servers.append(server)
        return server

    yield serve
    for server in servers:
        server.stop()


def client(server):
    return Client(f"127.0.0.1:{server.port}", timeout=DEADLINE)


def test_rest(serve):
    url = f"http://127.0.0.1:{serve().rest_port}/v1/models/model"
    status, text = get(url + ":predict", b'{"instances": [[1, 2, 3]]}')
    assert (status, json.loads(text)) == (200, {"predictions": [[2, 4, 6]]})
    status, text = get(url)
    assert status == 200
    assert json.loads(text)["model_version_status"][0]["state"] == "AVAILABLE"


def test_rest_stops_with_the_server(serve):
    server = serve()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.rest_port), timeout=DEADLINE).close()


def test_a_rest_port_in_use(base_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(errors.StartError, match=rf":{port} \(Address already in use\)"):
            Server({"model": base_path}, port=0, rest_port=port, host="127.0.0.1")


def options(base_path, **more):
    return Options(model_base_path=str(base_path), free_port=True, **more)


def test_the_command_goes_without_a_rest_port_that_is_in_use(base_path, caplog):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        with Server.from_options(options(base_path, rest_api_port=port)) as server:
            assert server.rest_port == 0
            with client(server) as caller:
                assert caller.predict("default", ONE)["y"] == 2
    assert f"Failed to start HTTP Server at localhost:{port}" in caplog.text


def test_one_port_for_both_is_for_grpc(base_path, caplog):
    with socket.create_server(("0.0.0.0", 0)) as probe:
        port = probe.getsockname()[1]
    settings = Options(model_base_path=str(base_path), port=port, rest_api_port=port)
    with Server.from_options(settings) as server, client(server) as caller:
        assert (server.port, server.rest_port) == (port, 0)
        assert caller.predict("default", ONE)["y"] == 2
    assert "Skipped exporting HTTP/REST API." in caplog.text


def test_metrics(serve, tmp_path):
    path = tmp_path / "monitoring.config"
    path.write_text('prometheus_config { enable: true path: "/metrics" }')
    server = serve(monitoring_config_file=str(path))
    with client(server) as caller:
        caller.predict("model", ONE)
    status, text = get(f"http://127.0.0.1:{server.rest_port}/metrics")
    assert status == 200
    assert ':tensorflow:serving:request_count{model_name="model",status="OK"} 1' in text
    assert ":tensorflow:cc:saved_model:load_attempt_count" in text
    url = f"http://127.0.0.1:{serve().rest_port}/monitoring/prometheus/metrics"
    assert get(url)[0] == 404


def test_batching(serve, tmp_path):
    path = tmp_path / "batching.config"
    path.write_text("max_batch_size { value: 7 } num_batch_threads { value: 2 }")
    server = serve(enable_batching=True, batching_parameters_file=str(path))
    with client(server) as caller:
        assert caller.predict("model", {"x": np.ones((7, 3), "f")})["y"].shape == (7, 3)
        with pytest.raises(errors.InvalidArgument) as caught:
            caller.predict("model", {"x": np.ones((11, 3), "f")})
    assert caught.value.message == ("Task size 11 is larger than maximum input batch size 7")


def test_batching_of_one_model(serve, publish, tmp_path):
    with_file, without = publish(tmp_path / "a", 3, 2), publish(tmp_path / "b", 5, 5)
    (with_file / "3" / "batching_params.pbtxt").write_text("max_batch_size { value: 5 }")
    server = serve(
        *({"a": with_file, "b": without},),
        enable_batching=True,
        enable_per_model_batching_parameters=True,
    )
    x = {"x": np.ones((7, 3), "f")}
    with client(server) as caller:
        assert caller.predict("b", x)["y"].shape == (7, 3)
        with pytest.raises(errors.InvalidArgument, match="maximum input batch size 5"):
            caller.predict("a", x)


def test_parameters_beside_a_model_that_are_wrong(serve, publish, tmp_path):
    folder = publish(tmp_path / "a", 3, 2)
    text = "max_batch_size { value: 5 } allowed_batch_sizes: 3"
    (folder / "3" / "batching_params.pbtxt").write_text(text)
    with pytest.raises(errors.StartError, match="must match max_batch_size"):
        serve(*({"a": folder},), enable_batching=True, enable_per_model_batching_parameters=True)


def test_reload_and_labels_over_the_wire(serve, publish, tmp_path):
    folder = publish(tmp_path / "other", 5, 5)
    server = serve()
    request = model_management_pb2.ReloadConfigRequest(
        metric_names=["/tensorflow/cc/saved_model/load_attempt_count"]
    )
    text = f"""
    model_config_list {{
      config {{ name: "other" base_path: "{folder}" model_platform: "tensorflow" }}
    }}
    """
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        models = model_service_pb2_grpc.ModelServiceStub(channel)
        predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        text_format.Parse(text, request.config)
        response = models.HandleReloadConfigRequest(request, timeout=DEADLINE)
        assert (response.status.error_code, response.status.error_message) == (0, "")
        assert [(m.name, m.int64_value_increase) for m in response.metric] == [
            ("/tensorflow/cc/saved_model/load_attempt_count", 1)
        ]
        assert ("other", 5) in server.available()
        request.config.model_config_list.config[0].version_labels["stable"] = 5
        models.HandleReloadConfigRequest(request, timeout=DEADLINE)
        predict = predict_pb2.PredictRequest()
        predict.model_spec.name = "other"
        predict.model_spec.version_label = "stable"
        predict.inputs["x"].dtype = 1
        predict.inputs["x"].float_val.append(3)
        answer = predictions.Predict(predict, timeout=DEADLINE)
        assert answer.outputs["y"].float_val[:] == [15]
        assert answer.model_spec.version.value == 5
        request.config.model_config_list.config[0].version_labels["canary"] = 7
        with pytest.raises(grpc.RpcError) as caught:
            models.HandleReloadConfigRequest(request, timeout=DEADLINE)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert caught.value.details() == (
            "Request to assign label to version 7 of model other, which is not currently "
            "available for inference"
        )


def test_tensor_content(serve):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "model"
    request.inputs["x"].dtype = 1
    request.inputs["x"].float_val.append(3)
    for wanted in (False, True):
        server = serve(enable_serialization_as_tensor_content=wanted)
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            y = stub.Predict(request, timeout=DEADLINE).outputs["y"]
        assert (y.tensor_content == np.float32(6).tobytes()) == wanted
        assert (list(y.float_val) == [6]) != wanted


def test_channel_arguments(serve):
    settings = Options(grpc_channel_arguments="grpc.max_receive_message_length=1000,a.b=x,c=-5")
    assert factory.channel_arguments(settings) == [
        ("grpc.max_receive_message_length", 1000),
        ("a.b", "x"),
        ("c", -5),
    ]
    assert factory.channel_arguments(Options()) == []
    with client(serve(grpc_channel_arguments="grpc.max_receive_message_length=1000")) as caller:
        assert caller.predict("model", ONE)["y"] == 2
        with pytest.raises(errors.ResourceExhausted):
            caller.predict("model", {"x": np.ones((1000, 3), "f")})
    with pytest.raises(errors.StartError, match="Expected key=value"):
        serve(grpc_channel_arguments="nonsense")
