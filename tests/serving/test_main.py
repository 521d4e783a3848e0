"""The command, in a process of its own."""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from keras_attention_serving import Client, __main__

COMMAND = [sys.executable, "-m", "keras_attention_serving"]


@contextmanager
def serving(*flags):
    """A running server: the process and the line that it printed when it was ready."""
    process = subprocess.Popen(
        [*COMMAND, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


def run(*flags):
    return subprocess.run([*COMMAND, *flags], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_and_stops_gracefully(base_path, number):
    flags = ("--port=0", "--model_name=date", f"--model_base_path={base_path}")
    with serving(*flags) as (process, line):
        ready = re.fullmatch(r"Serving date version 3 on 0\.0\.0\.0:(\d+)\n", line)
        answers = []

        def wait():
            answers.append(
                client.predict("date", {"seconds": np.float64(1.5)}, signature="wait")["waited"]
            )

        with Client(f"127.0.0.1:{ready[1]}", timeout=30) as client:
            assert client.predict("date", {"x": np.ones(1, np.float32)})["y"] == 2
            call = threading.Thread(target=wait)
            call.start()
            time.sleep(0.5)  # time for the call to arrive
            process.send_signal(number)
            call.join()
            assert process.wait(timeout=30) == 0
        assert answers == [1.5]
        assert "date version 3: AVAILABLE" in process.stderr.read()


def test_flags(base_path, tmp_path):
    flags = (
        "--port=0",
        f"--grpc_socket_path={tmp_path / 'socket'}",
        f"--model_base_path={base_path}",
        "--file_system_poll_wait_seconds=0",
        "--grpc_max_threads=2",
        "--enable_model_warmup=false",
    )
    with serving(*flags) as (_, line):
        assert line.startswith("Serving default version 3 on ")
        with Client(f"unix:{tmp_path / 'socket'}", timeout=30) as client:
            assert client.predict("default", {"x": np.ones(1, np.float32)})["y"] == 2


def test_version():
    result = run("--version")
    assert result.returncode == 0
    assert re.fullmatch(
        r"keras_attention_serving: \d+\.\d+\.\d+\S*\nTensorFlow Library: 2\.\d+\.\d+\S*\n",
        result.stdout,
    )


def refused(capsys, *flags):
    """What `main` writes to standard error on its way out with status 2."""
    try:
        status = __main__.main(flags)
    except SystemExit as exit:
        status = exit.code
    assert status == 2
    return capsys.readouterr().err


@pytest.fixture
def keep_signals():
    saved = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    for number, handler in saved:
        signal.signal(number, handler)


def test_a_start_that_fails_is_one_line(tmp_path):
    result = run("--port=0", f"--model_base_path={tmp_path / 'nowhere'}")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == (
        "Failed to start server. Error: Expected a folder of versions for model 'default'. "
        f"Received: base_path={tmp_path / 'nowhere'} (No such file or directory)\n"
    )


def test_reasons_not_to_start(base_path, capsys, keep_signals):
    assert refused(capsys) == (
        "Failed to start server. Error: Expected --model_base_path=FOLDER. Received: none\n"
    )
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        message = refused(capsys, f"--port={port}", f"--model_base_path={base_path}")
    assert f"Received: address=0.0.0.0:{port} (Address already in use)" in message


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--port=x", "invalid int value: 'x'"),
        ("--enable_model_warmup=perhaps", "Expected true or false. Received: perhaps"),
        ("--ssl_config_file=x", "unrecognized arguments: --ssl_config_file=x"),
        ("--model_base=x", "unrecognized arguments: --model_base=x"),
    ],
)
def test_wrong_flags(capsys, flag, message):
    assert message in refused(capsys, flag)


def test_help_names_every_flag(capsys):
    with pytest.raises(SystemExit) as caught:
        __main__.main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for flag in ("port", "model_name", "model_base_path", "file_system_poll_wait_seconds"):
        assert f"--{flag}" in text
