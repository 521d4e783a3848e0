"""A client that others wrote for TensorFlow Serving (Intel's, for the OpenVINO Model Server)."""

import shutil

import numpy as np
import ovmsclient
import pytest

from keras_attention_serving.server import Server

TIMEOUT = 30


@pytest.fixture(scope="module")
def server(exports, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "model"
    shutil.copytree(exports[2], folder / "1")
    with Server({"model": folder}, port=0, rest_port=0, host="127.0.0.1") as server:
        yield server


@pytest.fixture(params=["grpc", "http"])
def client(request, server):
    if request.param == "grpc":
        return ovmsclient.make_grpc_client(f"127.0.0.1:{server.port}")
    return ovmsclient.make_http_client(f"127.0.0.1:{server.rest_port}")


def test_status(client):
    # Version 0 is the newest for OpenVINO, and no version for TensorFlow Serving.
    assert client.get_model_status("model", model_version=1, timeout=TIMEOUT) == {
        1: {"state": "AVAILABLE", "error_code": 0, "error_message": ""}
    }


def test_predict(client):
    inputs = {"x": np.array([[2, 3, 5]], np.float32)}
    answer = client.predict(inputs, "model", model_version=1, timeout=TIMEOUT)
    np.testing.assert_array_equal(answer, [[4, 6, 10]])


def test_a_version_that_is_not_there(client):
    with pytest.raises(ovmsclient.tfs_compat.base.errors.ModelNotFoundError):
        client.get_model_status("model", model_version=7, timeout=TIMEOUT)


def test_metadata(server):
    """Over gRPC: its reader of REST wants OpenVINO's spelling of the fields."""
    client = ovmsclient.make_grpc_client(f"127.0.0.1:{server.port}")
    found = client.get_model_metadata("model", model_version=1, timeout=TIMEOUT)
    assert found["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert "y" in found["outputs"]
