"""The command, in a process of its own."""

import configparser
import importlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from keras_attention_serving import Client, __main__, errors
from keras_attention_serving.runtime import c_api

COMMAND = [sys.executable, "-m", "keras_attention_serving"]
ONE = {"x": np.ones(1, np.float32)}


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


def port_of(line):
    return int(re.fullmatch(r"Serving \S+ version \d+ on 0\.0\.0\.0:(\d+)\n", line)[1])


def free_port():
    with socket.create_server(("0.0.0.0", 0)) as probe:
        return probe.getsockname()[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_and_stops_gracefully(base_path, number):
    port = free_port()
    flags = (f"--port={port}", "--model_name=date", f"--model_base_path={base_path}")
    with serving(*flags) as (process, line):
        assert line == f"Serving date version 3 on 0.0.0.0:{port}\n"
        answers = []

        def wait():
            answers.append(
                client.predict("date", {"seconds": np.float64(1.5)}, signature="wait")["waited"]
            )

        with Client(f"127.0.0.1:{port}", timeout=30) as client:
            assert client.predict("date", ONE)["y"] == 2
            call = threading.Thread(target=wait)
            call.start()
            time.sleep(0.5)  # time for the call to arrive
            process.send_signal(number)
            call.join()
            assert process.wait(timeout=30) == 0
        assert answers == [1.5]
        log = process.stderr.read()
        assert "date version 3: AVAILABLE" in log
        assert "Successfully loaded servable version {name: date version: 3}" in log
        assert f"Running gRPC ModelServer at 0.0.0.0:{port} ..." in log


def test_a_run_that_does_not_end_does_not_keep_the_process(base_path):
    base = f"--model_base_path={base_path}"
    flags = ("--free_port", "--model_name=model", base, "--stop_grace_seconds=1")
    with serving(*flags) as (process, line):
        with grpc.insecure_channel(f"127.0.0.1:{port_of(line)}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            message = predict_pb2.PredictRequest()
            message.model_spec.name, message.model_spec.signature_name = "model", "wait"
            message.inputs["seconds"].CopyFrom(tf.make_tensor_proto(np.float64(1e9)))
            call = stub.Predict.future(message)
            with pytest.raises(grpc.FutureTimeoutError):
                call.result(timeout=1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


def test_flags(base_path, tmp_path):
    flags = (
        "--free_port",
        f"--grpc_socket_path={tmp_path / 'socket'}",
        f"--model_base_path={base_path}",
        "--file_system_poll_wait_seconds=0",
        "--grpc_max_threads=2",
        "--enable_model_warmup=false",
        "--tensorflow_session_parallelism=2",
        "--skip_initialize_tpu",
        f"--platform_config_file={tmp_path / 'platforms'}",
    )
    with serving(*flags) as (process, line):
        for address in (f"127.0.0.1:{port_of(line)}", f"unix:{tmp_path / 'socket'}"):
            with Client(address, timeout=30) as client:
                assert client.predict("default", ONE)["y"] == 2
        process.terminate()
        log = process.communicate()[1]
        assert "--skip_initialize_tpu is ignored: it has no meaning here." in log
        assert (
            "--platform_config_file is ignored: it has no meaning here. (Every model is a "
            "SavedModel, run with the settings of the other flags.)"
        ) in log


def test_a_unix_socket_alone(base_path, tmp_path):
    path = tmp_path / "socket"
    flags = ("--port=0", f"--grpc_socket_path={path}", f"--model_base_path={base_path}")
    with serving(*flags) as (_, line):
        assert line == f"Serving default version 3 on {path}\n"
        with Client(f"unix:{path}", timeout=30) as client:
            assert client.predict("default", ONE)["y"] == 2


def test_several_models_and_a_file_that_changes(base_path, publish, tmp_path):
    other = publish(tmp_path / "other", 11, 5)
    path = tmp_path / "models.config"

    def write(**models):
        entries = [
            f'config {{ name: "{name}" base_path: "{folder}" model_platform: "tensorflow" }}'
            for name, folder in models.items()
        ]
        path.write_text("model_config_list { " + "\n".join(entries) + " }")

    write(a=base_path, b=other)
    flags = (
        f"--model_config_file={path}",
        "--model_config_file_poll_wait_seconds=1",
        "--free_port",
    )
    with serving(*flags) as (process, line):
        assert line.startswith("Serving a version 3 on ")
        assert process.stdout.readline().startswith("Serving b version 11 on ")
        with Client(f"127.0.0.1:{port_of(line)}", timeout=30) as client:
            assert client.predict("a", ONE)["y"] == 2
            assert client.predict("b", ONE)["y"] == 5
            write(b=other, c=base_path)
            end = time.monotonic() + 30
            while time.monotonic() < end:
                try:
                    client.predict("c", ONE)
                    break
                except errors.NotFound:
                    time.sleep(0.05)
            assert client.predict("c", ONE)["y"] == 2
            assert client.predict("b", ONE)["y"] == 5
            assert client.status("a")[0].state in ("UNLOADING", "END")


def test_versions():
    result = run("--version")
    assert result.returncode == 0
    assert re.fullmatch(
        r"TensorFlow ModelServer: \d+\.\d+\.\d+\S*\nTensorFlow Library: 2\.\d+\.\d+\S*\n",
        result.stdout,
    )


def refused(capsys, *flags):
    """The standard output of `main`, which returns status 255."""
    assert __main__.main(flags) == 255
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def keep_the_process(monkeypatch):
    """Keeps `main` from setting signals, and from turning XLA off for the rest of this process."""
    monkeypatch.setattr(c_api, "disable_xla", lambda: None)
    saved = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    yield
    for number, handler in saved:
        signal.signal(number, handler)


def test_a_start_that_fails_is_one_line(base_path, tmp_path):
    shutil.copytree(base_path, tmp_path / "models")
    (tmp_path / "models" / "5").mkdir()
    result = run("--free_port", "--max_num_load_retries=0", f"--model_base_path={tmp_path}/models")
    assert result.returncode == 255
    assert result.stdout == (
        "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: "
        "{{{name: default version: 5} due to error: NOT_FOUND: Could not find SavedModel .pb or "
        f".pbtxt at supplied export directory path: {tmp_path}/models/5. Check that the directory "
        "exists and that you have the right permissions for accessing it.}, }\n"
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model_config_file"], "serving.ModelServerConfig"),
        (["--enable_batching", "--batching_parameters_file"], "serving.BatchingParameters"),
        (["--monitoring_config_file"], "serving.MonitoringConfig"),
        (["--ssl_config_file"], "serving.SSLConfig"),
        (["--tensorflow_session_config_file"], "ConfigProto"),
    ],
    ids=str,
)
def test_a_file_that_does_not_parse(base_path, tmp_path, capsys, caplog, flags, message):
    (tmp_path / "broken").write_text("\n  nonsense")
    path = f"{flags[-1]}={tmp_path / 'broken'}"
    out = refused(capsys, "--free_port", f"--model_base_path={base_path}", *flags[:-1], path)
    assert out.startswith("Failed to start server. Error: INVALID_ARGUMENT: Invalid protobuf file")
    start = f"Error parsing text-format tensorflow.{message}: 2:3: "
    assert [line for line in caplog.messages if line.startswith(start)]


def test_waits_for_its_models_and_can_be_stopped(tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "--free_port", f"--model_base_path={tmp_path / 'nowhere'}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stderr:
            if "Could not find base path" in line:
                break
        process.terminate()
        assert process.wait(timeout=30) == 0
        assert process.stdout.read() == ""
    finally:
        process.kill()
        process.communicate()


def test_reasons_not_to_start(base_path, tmp_path, capsys):
    failed = "Failed to start server. Error: "
    assert refused(capsys) == (
        f"{failed}INVALID_ARGUMENT: Both server_options.model_base_path and "
        "server_options.model_config_file are empty!\n"
    )
    assert refused(capsys, "--port=0", f"--model_base_path={base_path}") == (
        f"{failed}INVALID_ARGUMENT: At least one of server_options.grpc_port or "
        "server_options.grpc_socket_path must be set.\n"
    )
    assert refused(capsys, "--free_port", "--model_base_path=models") == (
        f"{failed}INVALID_ARGUMENT: Expected model default to have an absolute path or URI; got "
        "base_path()=models\n"
    )
    missing = tmp_path / "missing"
    for flag in ("model_config_file", "tensorflow_session_config_file", "ssl_config_file"):
        message = refused(
            capsys, "--free_port", f"--model_base_path={base_path}", f"--{flag}={missing}"
        )
        assert message == f"{failed}NOT_FOUND: {missing}; No such file or directory\n"
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        message = refused(capsys, f"--port={port}", f"--model_base_path={base_path}")
    assert f"Received: address=0.0.0.0:{port} (Address already in use)" in message


def test_values_that_are_none(capsys):
    text = refused(capsys, "--port=x", "--model_base_path=/m")
    assert text.startswith("usage: python -m keras_attention_serving\nFlags:\n\t--port=8500 ")


def test_unknown_arguments_do_not_matter(base_path):
    flags = ("--nothing=1", "--free_port", f"--model_base_path={base_path}", "--more")
    with serving(*flags) as (process, line):
        assert line == "unknown argument: --nothing=1\n"
        while not line.startswith("Serving "):
            line = process.stdout.readline()
        with Client(f"127.0.0.1:{port_of(line)}", timeout=30) as client:
            assert client.predict("default", ONE)["y"] == 2


def test_the_installed_command():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    commands = setup["options.entry_points"]["console_scripts"].split("\n")
    (target,) = [c.split(" = ")[1] for c in commands if c.startswith("keras-attention-server ")]
    module, _, function = target.partition(":")
    assert getattr(importlib.import_module(module), function) is __main__.main


def test_help_is_the_usage(capsys):
    text = refused(capsys, "--help")
    assert text.startswith("usage: ")
    assert "\t--model_base_path=" in text


class Compiled(tf.Module):
    @tf.function(jit_compile=True, input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def double(self, x):
        return {"y": 2 * x}


@pytest.fixture
def compiled(tmp_path):
    model = Compiled()
    tf.saved_model.save(model, str(tmp_path / "compiled" / "3"), signatures=model.double)
    return tmp_path / "compiled"


def test_functions_that_ask_for_xla(compiled):
    """Refused, as in TensorFlow Serving, unless a flag allows it."""
    flags = ("--free_port", f"--model_base_path={compiled}")
    with serving(*flags) as (_, line):
        with Client(f"127.0.0.1:{port_of(line)}", timeout=30) as client:
            with pytest.raises(errors.ServingError, match="XLA"):
                client.predict("default", ONE)
    with serving(*flags, "--xla_cpu_compilation_enabled") as (_, line):
        with Client(f"127.0.0.1:{port_of(line)}", timeout=60) as client:
            assert client.predict("default", ONE)["y"] == 2


def calling(address, answers, stop):
    """Calls without pauses and retries until `stop`; records the result of each."""
    options = [("grpc.enable_retries", 0)]
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "default"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.full((1, 3), 7, np.float32)))
    with grpc.insecure_channel(address, options) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        while not stop.is_set():
            try:
                outputs = stub.Predict(request, timeout=30).outputs
                answers.append(list(outputs["y"].float_val) == [14] * 3)
            except grpc.RpcError as error:
                answers.append(error.code().name)


@pytest.mark.parametrize("batching", [(), ("--enable_batching",)], ids=["alone", "batched"])
def test_a_stop_under_load_loses_nothing(base_path, batching):
    """Calls are answered until their client is told that there is no server any more."""
    flags = ("--free_port", f"--model_base_path={base_path}", *batching)
    with serving(*flags) as (process, line):
        answers, stop = [[] for _ in range(5)], threading.Event()
        address = f"127.0.0.1:{port_of(line)}"
        threads = [threading.Thread(target=calling, args=(address, one, stop)) for one in answers]
        for thread in threads:
            thread.start()
        time.sleep(1)
        process.terminate()
        assert process.wait(timeout=30) == 0
        stop.set()
        for thread in threads:
            thread.join()
    for one in answers:
        served = one.index("UNAVAILABLE") if "UNAVAILABLE" in one else len(one)
        assert served > 0
        assert set(one[:served]) == {True}
        assert served < len(one)


def test_killed_and_started_again(base_path):
    """The port is free at once, and a client finds its way back."""
    port = free_port()
    flags = (f"--port={port}", f"--model_base_path={base_path}")
    x = {"x": np.full((1, 3), 7, np.float32)}

    def answer():
        end = time.monotonic() + 60
        while True:
            try:
                return client.predict("default", x)["y"].tolist()
            except errors.Unavailable:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    with Client(f"127.0.0.1:{port}", timeout=60) as client:
        for _ in range(3):
            with serving(*flags) as (process, line):
                assert line == f"Serving default version 3 on 0.0.0.0:{port}\n"
                assert answer() == [[14] * 3]
                process.send_signal(signal.SIGKILL)
                process.wait(timeout=30)
