"""A folder of models as the world leaves it: damaged, incomplete, gone, forbidden, changing."""

import asyncio
import collections
import os
import shutil
import socket
import struct
import time
import urllib.request

import numpy as np
import pytest

from keras_attention_serving import AsyncClient, Client, errors
from keras_attention_serving.server import Server
from keras_attention_serving.settings.options import Options

ONE = {"x": np.ones(1, np.float32)}
WAIT = 30


@pytest.fixture
def folder(publish, tmp_path):
    return publish(tmp_path / "models", 3, 2)


@pytest.fixture
def client(folder):
    settings = Options(max_num_load_retries=0)
    with (
        Server(
            *({"model": folder},),
            port=0,
            host="127.0.0.1",
            poll_wait_seconds=0.05,
            settings=settings,
        ) as server,
        Client(f"127.0.0.1:{server.port}", timeout=WAIT) as client,
    ):
        yield client


def status(client, version):
    """The status of a version when it is decided: available or at its end."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        for entry in client.status("model"):
            if entry.version == version and entry.state in ("AVAILABLE", "END"):
                return entry
        time.sleep(0.01)
    raise TimeoutError(f"version {version}: {client.status('model')}")


def test_damage(client, folder, exports):
    """Whatever is wrong with a new version, the old one serves on."""

    def cut(path):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def scramble(path):
        data = bytearray(path.read_bytes())
        for i in range(0, len(data), 7):
            data[i] ^= 0x55
        path.write_bytes(bytes(data))

    def empty(path):
        path.write_bytes(b"")

    damages = [
        (damage, name)
        for damage in (os.remove, cut, scramble, empty)
        for name in (
            "saved_model.pb",
            "variables/variables.index",
            "variables/variables.data-00000-of-00001",
        )
    ]
    for version, (damage, name) in enumerate(damages, 5):
        aside = folder.with_name("aside")
        shutil.copytree(exports[5], aside)
        damage(aside / name)
        aside.rename(folder / str(version))
        entry = status(client, version)
        assert entry.state == "END", (damage, name)
        assert entry.error_code != 0
        assert entry.error_message
        assert client.predict("model", ONE)["y"] == 2
        shutil.rmtree(folder / str(version))
    shutil.copytree(exports[5], folder.with_name("aside"))
    folder.with_name("aside").rename(folder / "97")
    assert status(client, 97).state == "AVAILABLE"
    assert client.predict("model", ONE)["y"] == 5


def test_a_version_that_is_copied_slowly(folder, exports):
    """It cannot be loaded while it is half there, and is tried again until it can."""
    settings = Options(load_retry_interval_micros=50_000, max_num_load_retries=1000)
    with (
        Server(
            *({"model": folder},),
            port=0,
            host="127.0.0.1",
            poll_wait_seconds=0.05,
            settings=settings,
        ) as server,
        Client(f"127.0.0.1:{server.port}", timeout=WAIT) as client,
    ):
        files = [path for path in exports[5].rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: path.name != "saved_model.pb"):
            target = folder / "5" / path.relative_to(exports[5])
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
            time.sleep(0.1)
            assert client.predict("model", ONE)["y"] in (2, 5)
        assert status(client, 5).state == "AVAILABLE"
        assert client.predict("model", ONE)["y"] == 5


def test_a_version_that_is_deleted_while_it_serves(folder, exports):
    """Without another look at the folder, nothing changes: the model is in memory."""
    with (
        Server({"model": folder}, port=0, host="127.0.0.1", poll_wait_seconds=0) as server,
        Client(f"127.0.0.1:{server.port}", timeout=WAIT) as client,
    ):
        shutil.rmtree(folder)
        for _ in range(5):
            assert client.predict("model", ONE)["y"] == 2


@pytest.mark.parametrize("what", ["version", "base path"])
def test_the_wrong_permissions(client, folder, exports, what):
    if os.geteuid() == 0:  # to whom nothing is forbidden: a path that cannot be followed
        shutil.copytree(exports[5], folder.with_name("aside"))
        if what == "version":
            model = folder.with_name("aside") / "saved_model.pb"
            model.unlink()
            model.symlink_to(model)
            folder.with_name("aside").rename(folder / "5")
            assert status(client, 5).state == "END"
        else:
            folder.rename(folder.with_name("elsewhere"))
            folder.symlink_to(folder)
            time.sleep(0.3)
    else:
        path = folder if what == "base path" else folder / "5"
        shutil.copytree(exports[5], folder / "5")
        path.chmod(0)
        time.sleep(0.3)
        path.chmod(0o755)
    assert client.predict("model", ONE)["y"] == 2
    with pytest.raises(errors.NotFound):
        client.predict("model", ONE, version=7)


def test_names_that_are_no_versions(client, folder):
    (folder / "99999999999999999999999999").mkdir()
    (folder / "not a version").mkdir()
    (folder / "7").write_text("a file")
    time.sleep(0.3)
    assert [entry.version for entry in client.status("model")] == [3]
    assert client.predict("model", ONE)["y"] == 2


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_reloads_leave_nothing_behind(client, folder, publish):
    """Version after version, with calls all the time: neither memory nor files nor threads grow."""

    def reload(versions):
        for version in versions:
            publish(folder, version, 2 + 3 * (version % 2))
            assert status(client, version).state == "AVAILABLE"
            assert client.predict("model", ONE)["y"] == 2 + 3 * (version % 2)
            shutil.rmtree(folder / str(version - 1), ignore_errors=True)

    def files():
        return len(os.listdir("/proc/self/fd"))

    def threads():
        return len(os.listdir("/proc/self/task"))

    reload(range(5, 17))
    before = resident_bytes(), files(), threads()
    reload(range(17, 47))
    after = resident_bytes(), files(), threads()
    assert after[0] - before[0] < 30 * 200_000
    assert after[1] <= before[1] + 3
    assert after[2] <= before[2] + 3
    assert [entry.state for entry in client.status("model")].count("AVAILABLE") == 1


def test_far_too_many_requests(folder):
    """Ten times what it can do: some is answered, the rest refused; then it recovers."""
    settings = Options(grpc_max_threads=2)
    run_seconds, asked_per_second, seconds = 0.02, 1000, 3.0
    codes = collections.Counter()

    async def ask(client, timeout=0.5):
        try:
            inputs = {"seconds": np.float64(run_seconds)}
            await client.predict("model", inputs, signature="wait", timeout=timeout)
            codes["OK"] += 1
        except errors.ServingError as error:
            codes[type(error)] += 1

    async def ask_all(port):
        async with AsyncClient(f"127.0.0.1:{port}", attempts=1) as client:
            begin, tasks = time.monotonic(), []
            while (now := time.monotonic() - begin) < seconds:
                while len(tasks) < now * asked_per_second:
                    tasks.append(asyncio.ensure_future(ask(client)))
                await asyncio.sleep(0.002)
            await asyncio.gather(*tasks)
            overload = dict(codes)
            codes.clear()
            for _ in range(11):
                await ask(client, timeout=30)
            return len(tasks), overload

    with Server({"model": folder}, port=0, host="127.0.0.1", settings=settings) as server:
        asked, overload = asyncio.run(ask_all(server.port))
    assert codes == {"OK": 11}
    assert sum(overload.values()) == asked
    assert {"OK", errors.ResourceExhausted} <= set(overload)
    assert set(overload) <= {"OK", errors.ResourceExhausted, errors.DeadlineExceeded}


def test_clients_that_are_silent_slow_or_gone(folder):
    """Connections that lead to nothing cost the others nothing, over gRPC and REST."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    beginnings = (b"", preface[:7], preface, preface + b"\0\0\x09\4\0", b"POST /v1/mod")
    with Server({"model": folder}, port=0, rest_port=0, host="127.0.0.1") as server:
        idle = []
        for port in (server.port, server.rest_port):
            for number in range(100):
                connection = socket.create_connection(("127.0.0.1", port), WAIT)
                connection.sendall(beginnings[number % len(beginnings)])
                if number % 3 == 0:  # gone, without a word
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    connection.close()
                else:
                    idle.append(connection)
        with Client(f"127.0.0.1:{server.port}", timeout=WAIT) as client:
            for _ in range(20):
                assert client.predict("model", ONE)["y"] == 2
        url = f"http://127.0.0.1:{server.rest_port}/v1/models/model"
        with urllib.request.urlopen(url, timeout=WAIT) as answer:
            assert b"AVAILABLE" in answer.read()
        for connection in idle:
            connection.close()
