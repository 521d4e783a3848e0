"""The files for TensorFlow Serving: against the official messages and the schema of Compose."""

import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from ruamel.yaml import YAML
from tensorflow_serving.config import model_server_config_pb2

FOLDER = Path(__file__).parents[2] / "serving" / "tf_serving"

# The flags of tensorflow_model_server 2.20 that the files may use.
FLAGS = {
    *("batching_parameters_file", "enable_batching", "enable_grpc_healthcheck_service"),
    *("file_system_poll_wait_seconds", "model_config_file", "monitoring_config_file"),
}


# Messages of the server's that no package defines, as a FileDescriptorProto.
MESSAGES = """
name: "server.proto" package: "tensorflow.serving" syntax: "proto3"
dependency: "google/protobuf/wrappers.proto"
message_type { name: "BatchingParameters"
  field { number: 1 name: "max_batch_size" type_name: ".google.protobuf.Int64Value" }
  field { number: 2 name: "batch_timeout_micros" type_name: ".google.protobuf.Int64Value" }
  field { number: 3 name: "max_enqueued_batches" type_name: ".google.protobuf.Int64Value" }
  field { number: 4 name: "num_batch_threads" type_name: ".google.protobuf.Int64Value" }
  field { number: 5 name: "thread_pool_name" type_name: ".google.protobuf.StringValue" }
  field { number: 6 name: "allowed_batch_sizes" type: TYPE_INT64 label: LABEL_REPEATED }
  field { number: 7 name: "pad_variable_length_inputs" type: TYPE_BOOL }
}
message_type { name: "PrometheusConfig"
  field { number: 1 name: "enable" type: TYPE_BOOL }
  field { number: 2 name: "path" type: TYPE_STRING }
}
message_type { name: "MonitoringConfig"
  field { number: 1 name: "prometheus_config" type_name: ".tensorflow.serving.PrometheusConfig" }
}
"""


def message(name):
    """A new message of one of the types above."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(text_format.Parse(MESSAGES, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"tensorflow.serving.{name}")
    )()


def parse(name, target):
    return text_format.Parse((FOLDER / name).read_text(), target)


@pytest.fixture(scope="module")
def compose():
    return YAML(typ="safe").load(FOLDER / "compose.yaml")


def test_models():
    config = parse("models.config", model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert model.name == "date_normalizer"
    assert model.base_path == "/models/date_normalizer"
    assert model.model_platform == "tensorflow"


def test_batching():
    config = parse("batching.config", message("BatchingParameters"))
    sizes = list(config.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == config.max_batch_size.value
    assert config.num_batch_threads.value >= 1
    assert config.max_enqueued_batches.value >= 1
    assert config.batch_timeout_micros.value >= 0
    assert not config.pad_variable_length_inputs


def test_monitoring():
    config = parse("monitoring.config", message("MonitoringConfig"))
    assert config.prometheus_config.enable
    assert config.prometheus_config.path == "/monitoring/prometheus/metrics"


def test_a_wrong_name_would_be_noticed():
    with pytest.raises(text_format.ParseError, match="no field named"):
        text_format.Parse("batch_size { value: 2 }", message("BatchingParameters"))


def test_compose_keeps_to_its_schema():
    check = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", "vendor.compose-spec", str(FOLDER / "compose.yaml")),
        ],
        capture_output=True,
        text=True,
    )
    assert check.returncode == 0, check.stdout


@pytest.mark.parametrize("service", ["cpu", "gpu"])
@pytest.mark.parametrize(
    ("state", "healthy"),
    [
        ('"state": "AVAILABLE", "status": { "error_code": "OK"', True),
        ('"state":"AVAILABLE","status":{"error_code":"OK"', True),
        ('"state": "LOADING", "status": { "error_code": "OK"', False),
        ('"state": "END", "status": { "error_code": "UNAVAILABLE"', False),
        ('"state": "END", "status": { "error_message": "AVAILABLE"', False),
    ],
)
def test_the_health_check(compose, service, state, healthy):
    """The command itself, against a server that answers with a state."""
    *_, script = command = compose["services"][service]["healthcheck"]["test"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer():
            connection, _ = server.accept()
            with connection:
                assert connection.recv(65536).startswith(b"GET /v1/models/date_normalizer HTTP")
                body = '{"model_version_status": [{"version": "1", ' + state + "}}]}"
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + body.encode())

        with ThreadPoolExecutor(1) as pool:
            answering = pool.submit(answer)
            done = subprocess.run([*command[1:-1], script.replace("8501", str(port))], timeout=30)
            answering.result()
    assert (done.returncode == 0) == healthy


def test_the_gpu(compose):
    gpu = compose["services"]["gpu"]
    assert gpu["environment"]["CUDA_CACHE_MAXSIZE"] == str(1 << 31)
    assert "cuda-cache:/root/.nv" in gpu["volumes"]
    assert gpu["healthcheck"]["start_period"] == "30m"


@pytest.mark.parametrize("service", ["cpu", "gpu"])
def test_a_service(compose, service):
    settings = compose["services"][service]
    assert settings["profiles"] == [service]
    tag = {"cpu": "2.20.0", "gpu": "2.20.0-gpu"}[service]
    assert settings["image"] == f"tensorflow/serving:{tag}"

    folders = {}
    for volume in settings["volumes"]:
        source, target, *mode = volume.split(":")
        if source.startswith("."):
            assert mode == ["ro"]
            folders[target] = (FOLDER / source).resolve()
    assert folders == {"/models": FOLDER.parents[1] / "saved_models", "/config": FOLDER}

    assert settings["init"] is True
    assert settings["stop_grace_period"]
    for flag in settings["command"]:
        name, _, value = flag.removeprefix("--").partition("=")
        assert name in FLAGS
        if value.startswith("/config/"):
            assert (FOLDER / value.removeprefix("/config/")).is_file()

    models = parse("models.config", model_server_config_pb2.ModelServerConfig())
    for model in models.model_config_list.config:
        assert f"/v1/models/{model.name} " in settings["healthcheck"]["test"][-1]
