"""Models that change while a server runs, seen from a client."""

import time

import numpy as np
import pytest

from keras_attention_serving import Client, errors
from keras_attention_serving.server import Server

ONE = {"x": np.ones(1, np.float32)}


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


@pytest.fixture
def folder(publish, tmp_path):
    return publish(tmp_path / "models", 3, 2)


@pytest.fixture
def client(folder):
    with (
        Server({"model": folder}, port=0, host="127.0.0.1", poll_wait_seconds=0.05) as server,
        Client(f"127.0.0.1:{server.port}", timeout=30) as client,
    ):
        yield client


def states(client):
    return [(status.version, status.state) for status in client.status("model")]


def test_a_new_version_is_picked_up(client, folder, publish):
    assert client.predict("model", ONE)["y"] == 2
    publish(folder, 5, 5)
    until(lambda: states(client) == [(5, "AVAILABLE"), (3, "END")])
    assert client.predict("model", ONE)["y"] == 5
    assert client.metadata("model").version == 5
    with pytest.raises(errors.NotFound, match=r"Specific\(model, 3\)"):
        client.predict("model", ONE, version=3)


def test_a_broken_version_is_seen_in_the_status_alone(client, folder):
    (folder / "5").mkdir()
    until(lambda: states(client) == [(5, "END"), (3, "AVAILABLE")])
    broken = client.status("model", version=5)[0]
    assert broken.error_code == 5
    assert "Could not find SavedModel" in broken.error_message
    assert client.predict("model", ONE)["y"] == 2


def test_a_missing_folder_is_reported_once(client, folder, caplog):
    folder.rename(folder.with_name("elsewhere"))
    until(lambda: "cannot be refreshed" in caplog.text)
    time.sleep(0.3)
    assert caplog.text.count("cannot be refreshed") == 1
    assert client.predict("model", ONE)["y"] == 2
    folder.with_name("elsewhere").rename(folder)


def test_no_polling(folder, publish):
    with (
        Server({"model": folder}, port=0, host="127.0.0.1", poll_wait_seconds=0) as server,
        Client(f"127.0.0.1:{server.port}", timeout=30) as client,
    ):
        publish(folder, 5, 5)
        time.sleep(0.3)
        assert states(client) == [(3, "AVAILABLE")]
