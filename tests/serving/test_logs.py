"""The log of the server: requests, devices, formats, and what it leaves out."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf

from keras_attention_serving import Client, errors, factory
from keras_attention_serving.monitoring import log_format, request_log
from keras_attention_serving.monitoring.request_log import RequestLog
from keras_attention_serving.runtime import devices
from keras_attention_serving.server import Server
from keras_attention_serving.settings.options import Options

REQUESTS, ACCESS = "keras_attention_serving.requests", "keras_attention_serving.access"
SECRET = 4242


class Picky(tf.Module):
    """TensorFlow's texts of the errors of both quote what they were given."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="ids")])
    def look_up(self, ids):
        return {"y": tf.gather([2.0, 3.0, 5.0], ids)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def read(self, text):
        return {"y": tf.strings.to_number(text)}


@pytest.fixture(scope="module")
def picky(tmp_path_factory):
    """The addresses over gRPC and HTTP of a server with an access log."""
    base, module = tmp_path_factory.mktemp("models") / "picky", Picky()
    signatures = {"serving_default": module.look_up, "read": module.read}
    tf.saved_model.save(module, str(base / "3"), signatures=signatures)
    arguments = {"port": 0, "rest_port": 0, "host": "127.0.0.1"}
    with Server({"picky": base}, **arguments, settings=Options(access_log=True)) as server:
        yield f"127.0.0.1:{server.port}", f"http://127.0.0.1:{server.rest_port}/v1/models/"


def records(caplog, name):
    """Fields and text of a logger's records, but not the sums of other servers in this process."""
    fields = ("transport", "method", "model", "code")
    return [
        (*(getattr(record, field) for field in fields), record.getMessage().partition(" ms")[2])
        for record in caplog.records
        if record.name == name and hasattr(record, "transport")
    ]


def post(url, document):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url, json.dumps(document).encode(), timeout=30)
    return caught.value.read().decode()


def test_a_line_for_each_failed_request_without_its_values(picky, caplog):
    caplog.set_level(logging.INFO)
    grpc_address, rest_address = picky
    with Client(grpc_address, timeout=30) as client:
        for inputs, signature in (
            ({"ids": np.array([SECRET], np.int32)}, "serving_default"),
            ({"text": ["four two"]}, "read"),
        ):
            with pytest.raises(errors.InvalidArgument, match=r"4242|four two"):
                client.predict("picky", inputs, signature=signature)
        with pytest.raises(errors.NotFound):
            client.predict("no\nmodel", {"ids": [1]})
        with pytest.raises(errors.NotFound):
            client.status("none")
    with grpc.insecure_channel(grpc_address) as channel:
        with pytest.raises(grpc.RpcError):
            channel.unary_unary("/no.Service/Method")(b"", timeout=30)
    assert "4242" in post(f"{rest_address}picky:predict", {"instances": [SECRET]})
    assert "four" in post(f"{rest_address}picky:predict", {"instances": ["four two"]})
    assert "four" in post(f"{rest_address}picky:predict", {"inputs": [1], "instances": "four two"})
    post(f"{rest_address}x%0Ay:predict", {"instances": [1]})
    post(f"{rest_address}picky/what", {})
    failed = records(caplog, REQUESTS)
    assert failed == [
        ("GRPC", "Predict", "picky", "INVALID_ARGUMENT", ": The run failed. {{node GatherV2}}"),
        (
            "GRPC",
            "Predict",
            "picky",
            "INVALID_ARGUMENT",
            ": The run failed. {{node StringToNumber}}",
        ),
        *[
            ("GRPC", method, model, "NOT_FOUND", f": {text}")
            for method, model, text in (
                ("Predict", "no model", "Servable not found for request: Latest(no model)"),
                ("GetModelStatus", "none", "Could not find any versions of model none"),
            )
        ],
        ("GRPC", "/no.Service/Method", "", "UNIMPLEMENTED", ": Method not found!"),
        ("REST", "predict", "picky", "INVALID_ARGUMENT", ": The run failed. {{node GatherV2}}"),
        (
            *("REST", "predict", "picky", "INVALID_ARGUMENT"),
            ": Failed to process element: 0 of 'instances' list. Error: JSON Value: ... Type: "
            "String is not of expected type: int32",
        ),
        (
            *("REST", "predict", "picky", "INVALID_ARGUMENT"),
            ": JSON Value: ... Not formatted correctly expecting only one of 'inputs' or "
            "'instances' keys to exist",
        ),
        *[
            ("REST", method, model, code, f": {text}")
            for method, model, code, text in (
                ("predict", "x y", "NOT_FOUND", "Servable not found for request: Latest(x y)"),
                (
                    *("POST /v1/models/picky/what", "", "INVALID_ARGUMENT"),
                    "Malformed request: POST /v1/models/picky/what",
                ),
            )
        ],
    ]
    assert [line[:4] for line in records(caplog, ACCESS)] == [line[:4] for line in failed]


def test_the_open_inference_protocol_leaves_values_out_too(picky, caplog):
    caplog.set_level(logging.INFO)
    url = picky[1].replace("/v1/", "/v2/") + "picky/infer"
    entry = {"name": "ids", "shape": [1], "datatype": "INT32"}
    for data in ([SECRET], ["secret"], [2**40 + SECRET]):
        text = post(url, {"inputs": [{**entry, "data": data}]})
        assert str(data[0]) in text
    failed = records(caplog, REQUESTS)
    assert [line[:4] for line in failed] == [("REST", "infer", "picky", "INVALID_ARGUMENT")] * 3
    for line in failed:
        assert not any(secret in line[4] for secret in ("4242", "secret", str(2**40 + SECRET)))
    assert failed[0][4] == ": The run failed. {{node GatherV2}}"
    assert all(line[4].endswith(" Received: ...") for line in failed[1:])


def test_good_requests_are_written_if_asked(picky, caplog):
    caplog.set_level(logging.INFO)
    with Client(picky[0], timeout=30) as client:
        client.predict("picky", {"ids": np.array([1], np.int32)})
        client.status("picky")
    urllib.request.urlopen(f"{picky[1]}picky/metadata", timeout=30).close()
    assert records(caplog, ACCESS) == [
        ("GRPC", "Predict", "picky", "OK", ""),
        ("GRPC", "GetModelStatus", "picky", "OK", ""),
        ("REST", "metadata", "picky", "OK", ""),
    ]
    assert not records(caplog, REQUESTS)
    caplog.clear()
    RequestLog().finished("GRPC", "Predict", "picky", 0.25)
    assert not caplog.records


def test_a_flood_is_a_few_lines_and_a_sum(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(request_log, "SECONDS", 1e6)
    log = RequestLog()
    for i in range(2003):
        log.finished("GRPC", "Predict", f"model {i}", 0.25, errors.NotFound("none"))
    log.finished("GRPC", "Predict", "rare", 0.25, errors.Internal("rare"))
    log.close()
    lines = caplog.messages
    assert len(lines) == 12
    assert lines[0] == "GRPC Predict of model 0: NOT_FOUND after 250.0 ms: none"
    assert lines[10] == "GRPC Predict of rare: INTERNAL after 250.0 ms: rare"
    assert lines[11] == "1993 further failed requests within 1e+06 s: NOT_FOUND 1993"
    log.finished("GRPC", "Predict", "later", 0.25, errors.NotFound("none"))
    assert caplog.messages[12].startswith("GRPC Predict of later: ")


def test_the_sum_comes_by_itself(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(request_log, "SECONDS", 0.5)
    log = RequestLog()
    for _ in range(11):
        log.finished("GRPC", "Predict", "model", 0.25, errors.NotFound("none"))
    end = time.monotonic() + 30
    while len(caplog.messages) < 11 and time.monotonic() < end:
        time.sleep(0.01)
    assert caplog.messages[10] == "1 further failed requests within 0.5 s: NOT_FOUND 1"


def test_what_a_client_chose_is_one_line_of_a_limited_length(caplog):
    caplog.set_level(logging.INFO)
    error = errors.NotFound("a\x1b[31m\n\tb" + 1000 * "c")
    RequestLog().finished("REST", "GET /" + 5000 * "x", "", 0.0, error)
    (line,) = caplog.messages
    assert line.startswith(f"REST GET /{295 * 'x'}...: NOT_FOUND after 0.0 ms: a\\x1b[31m bccc")
    assert line.endswith("c...")
    assert len(line) < 700


def test_levels_and_the_traceback_of_a_fault(caplog):
    caplog.set_level(logging.INFO)
    fault = errors.Internal("Internal error")
    fault.__cause__ = ZeroDivisionError("why")
    for error in (fault, errors.Internal("of TensorFlow"), errors.Unavailable(), errors.Aborted()):
        RequestLog().finished("GRPC", "Predict", "model", 0.0, error)
    assert caplog.records[0].exc_info[1] is fault.__cause__
    levels = [record.levelname for record in caplog.records]
    assert levels == ["ERROR", "WARNING", "WARNING", "INFO"]


def make_record(level=logging.WARNING, line=7, created=1e9, **fields):
    record = logging.LogRecord("uvicorn.error", level, "file.py", line, "no %s", ("way",), None)
    record.created, record.msecs = created, 5.0
    record.__dict__.update(fields)
    return record


def test_json_lines():
    record = make_record(transport="GRPC", method="Predict", model="ü\n", code="OK", seconds=0.25)
    try:
        raise ValueError("why\nnot")
    except ValueError:
        record.exc_info = sys.exc_info()
    text = log_format.JsonFormatter().format(record)
    entry = json.loads(text)
    assert "\n" not in text
    assert entry.pop("exception").endswith("ValueError: why\nnot")
    assert entry == {
        "time": "2001-09-09T01:46:40.005Z",
        "level": "WARNING",
        "logger": "uvicorn.error",
        "message": "no way",
        **{"transport": "GRPC", "method": "Predict", "model": "ü\n", "code": "OK"},
        "seconds": 0.25,
    }


def test_repeated_warnings_are_limited():
    repeated = log_format.Repeated(lines=3, seconds=10)
    assert [repeated.filter(make_record(created=1e9 + i)) for i in range(5)] == [True] * 3 + [
        False
    ] * 2
    assert repeated.filter(make_record(line=11, created=1e9 + 5))
    assert all(repeated.filter(make_record(logging.INFO, created=1e9 + 5)) for _ in range(5))
    assert all(repeated.filter(make_record(created=1e9 + 5, transport="GRPC")) for _ in range(5))
    later = make_record(created=1e9 + 11)
    assert repeated.filter(later)
    assert later.getMessage() == "no way (2 more like it before)"


@pytest.mark.parametrize(
    ("name", "arguments"), [("log_level", ("loud", "text")), ("log_format", ("info", "loud"))]
)
def test_levels_and_formats_that_are_none(name, arguments):
    with pytest.raises(errors.InvalidArgument, match=f"Received: {name}=loud"):
        log_format.configure(*arguments)


def test_devices(caplog, monkeypatch, tmp_path):
    assert devices.listed()[0] == "CPU:0"
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(devices, "listed", lambda config: ["CPU:0"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    factory.report_devices(Options())
    assert caplog.messages == ["Devices of TensorFlow: CPU:0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    factory.report_devices(Options())
    assert caplog.messages[2].startswith("No GPU is used, although CUDA_VISIBLE_DEVICES=0: ")
    monkeypatch.setattr(devices, "listed", lambda config: ["CPU:0", "GPU:0 (7.0 GiB)"])
    factory.report_devices(Options())
    assert caplog.messages[3:] == ["Devices of TensorFlow: CPU:0, GPU:0 (7.0 GiB)"]
    assert devices.gpu_expected({}, tmp_path) == ""
    (tmp_path / "nvidia1").touch()
    assert devices.gpu_expected({}, tmp_path) == f"there is {tmp_path / 'nvidia1'}"


def test_the_command_writes_json_to_one_stream(base_path):
    command = [sys.executable, "-m", "keras_attention_serving", "--free_port", "--log_format=json"]
    process = subprocess.Popen(
        [*command, f"--model_base_path={base_path}", "--nothing=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    try:
        lines = []
        while not lines or not lines[-1]["message"].startswith("Serving default version 3 on "):
            lines.append(json.loads(process.stderr.readline()))
        process.send_signal(signal.SIGTERM)
        out, rest = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    assert out == ""
    lines += map(json.loads, rest.splitlines())
    messages = [line["message"] for line in lines]
    assert messages[0] == "unknown argument: --nothing=1"
    assert any(message.startswith("Devices of TensorFlow: CPU:0") for message in messages)
    assert {line["level"] for line in lines} == {"INFO", "WARNING"}
