"""The server, asked by the official stubs: answers, error codes and texts of TensorFlow Serving."""

import socket
import threading
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_attention_serving import errors
from keras_attention_serving.grpc.server import GrpcServer
from keras_attention_serving.server import Server
from keras_attention_serving.service import Service

DEADLINE = 30


@pytest.fixture(scope="module")
def channel(address):
    with grpc.insecure_channel(address) as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def model_stub(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def request(signature="", model="model", output_filter=(), **inputs):
    result = predict_pb2.PredictRequest(output_filter=output_filter)
    result.model_spec.name = model
    result.model_spec.signature_name = signature
    for name, value in inputs.items():
        result.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return result


def failure(method, message):
    """Code and text of the error that a call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        method(message, timeout=DEADLINE)
    return caught.value.code().name, caught.value.details()


X = np.array([[1, 2, 3], [5, 7, 11]], np.float32)


def test_predict(stub):
    response = stub.Predict(request(x=X), timeout=DEADLINE)
    assert response.model_spec.name == "model"
    assert response.model_spec.version.value == 3
    assert response.model_spec.signature_name == "serving_default"
    assert list(response.outputs) == ["y"]
    assert tf.make_ndarray(response.outputs["y"]).tolist() == [[2, 4, 6], [10, 14, 22]]


def test_numbers_come_back_in_typed_fields(stub):
    y = stub.Predict(request(x=X), timeout=DEADLINE).outputs["y"]
    assert list(y.float_val) == [2, 4, 6, 10, 14, 22]
    assert y.tensor_content == b""


def test_version_by_number(stub):
    message = request(x=X)
    message.model_spec.version.value = 3
    assert stub.Predict(message, timeout=DEADLINE).model_spec.version.value == 3


def test_text_and_several_outputs(stub):
    outputs = stub.Predict(
        request("tokenize", text=["one two", "\u00fcber"]), timeout=DEADLINE
    ).outputs
    assert tf.make_ndarray(outputs["tokens"]).tolist() == [
        [b"one", b"two"],
        ["\u00fcber".encode(), b""],
    ]
    assert tf.make_ndarray(outputs["count"]).tolist() == [2, 1]
    assert tf.make_ndarray(outputs["upper"]).tolist() == [b"ONE TWO", "\u00dcBER".encode()]


def test_every_dtype(stub, saved_model):
    message = request("echo")
    for name, info in saved_model.signatures["echo"].inputs.items():
        value = np.full(
            (2, 3), b"x" if info.dtype == 7 else 1, tf.as_dtype(info.dtype).as_numpy_dtype
        )
        message.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    outputs = stub.Predict(message, timeout=DEADLINE).outputs
    assert len(outputs) == 16
    for name, proto in outputs.items():
        sent = tf.make_ndarray(message.inputs[name])
        np.testing.assert_array_equal(tf.make_ndarray(proto), sent, strict=True)


def test_output_filter(stub):
    message = request("combine", output_filter=["sum", "product"], left=[2.0], right=[3.0])
    outputs = stub.Predict(message, timeout=DEADLINE).outputs
    assert {name: list(proto.float_val) for name, proto in outputs.items()} == {
        "sum": [5],
        "product": [6],
    }


def test_shapes_are_left_to_the_graph(stub):
    response = stub.Predict(request(x=np.float32(3)), timeout=DEADLINE)
    assert tf.make_ndarray(response.outputs["y"]) == 6


def bad_request(**changes):
    message = request(**changes.pop("request", {"x": X}))
    for name, value in changes.items():
        if name == "version":
            message.model_spec.version.value = value
        elif name == "label":
            message.model_spec.version_label = value
        elif name == "content":
            message.inputs["x"].tensor_content = value
    return message


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (request(model=""), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (
            request(model="other"),
            "NOT_FOUND",
            "Servable not found for request: Latest(other)",
        ),
        (
            bad_request(version=4),
            "NOT_FOUND",
            "Servable not found for request: Specific(model, 4)",
        ),
        (
            bad_request(request={"model": "other"}, version=4),
            "NOT_FOUND",
            "Servable not found for request: Specific(other, 4)",
        ),
        (
            bad_request(label="stable"),
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: stable",
        ),
        (
            request("nothing", x=X),
            "FAILED_PRECONDITION",
            'Serving signature key "nothing" not found.',
        ),
        (
            request("combine", left=[1.0]),
            "INVALID_ARGUMENT",
            "input size does not match signature: 1!=2 len({left}) != len({left,right}). "
            "Sent extra: {}. Missing but required: {right}.",
        ),
        (
            request(x=X, b=X, a=X),
            "INVALID_ARGUMENT",
            "input size does not match signature: 3!=1 len({a,b,x}) != len({x}). "
            "Sent extra: {a,b}. Missing but required: {}.",
        ),
        (
            request("combine", left=[1.0], up=[1.0]),
            "INVALID_ARGUMENT",
            "Signature input alias: right(feed name: combine_right:0) not found in request and "
            "no default value provided. Inputs expected to be in the request {left,up}, or "
            "default input alias set: ",
        ),
        (bad_request(content=b"12345"), "INVALID_ARGUMENT", "tensor parsing error: x"),
        (
            request(x=X, output_filter=["z"]),
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: z Outputs expected to be in the set {y}.",
        ),
        (
            request(x=X, output_filter=["y", "y"]),
            "INVALID_ARGUMENT",
            "duplicate output tensor alias: y",
        ),
        (
            request(x=X.astype(np.int32)),
            "INVALID_ARGUMENT",
            "Expects arg[0] to be float but int32 is provided",
        ),
    ],
)
def test_predict_errors(stub, message, code, text):
    assert failure(stub.Predict, message) == (code, text)


SIZES = st.sampled_from([-1, 0, 1, 3, 7, 2**31, 2**62])


@given(
    dtype=st.integers(0, 140),
    sizes=st.lists(SIZES, max_size=5) | st.lists(st.just(1), min_size=60, max_size=300),
    content=st.binary(max_size=30),
    numbers=st.lists(st.integers(-9, 9), max_size=5),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_tensor_brings_the_server_down(stub, dtype, sizes, content, numbers):
    message = request()
    tensor = message.inputs["x"]
    tensor.dtype, tensor.tensor_content = dtype, content
    for size in sizes:
        tensor.tensor_shape.dim.add(size=size)
    tensor.float_val.extend(numbers)
    tensor.int_val.extend(numbers)
    tensor.string_val.append(content)
    try:
        stub.Predict(message, timeout=DEADLINE)
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error.details()
    assert stub.Predict(request(x=X), timeout=DEADLINE).outputs["y"].float_val[0] == 2


def test_error_inside_the_graph(stub):
    code, text = failure(stub.Predict, request("combine", left=[1.0, 2.0], right=[1.0, 2.0, 3.0]))
    assert code == "INVALID_ARGUMENT"
    assert text.startswith("Incompatible shapes: [2] vs. [3]")


def test_long_texts_are_cut(stub):
    code, text = failure(stub.Predict, request("s" * 2000, x=X))
    assert code == "FAILED_PRECONDITION"
    assert text == 'Serving signature key "' + "s" * (1024 - 23) + "...TRUNCATED"


def test_deadline(stub):
    start = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(request("wait", seconds=np.float64(60)), timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - start < 30


def test_a_method_that_is_not_there(channel):
    method = channel.unary_unary("/tensorflow.serving.PredictionService/Guess")
    code, _ = failure(method, b"")
    assert code == "UNIMPLEMENTED"


def metadata_request(*fields, model="model"):
    message = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    message.model_spec.name = model
    return message


def test_metadata(stub):
    response = stub.GetModelMetadata(metadata_request("signature_def"), timeout=DEADLINE)
    assert response.model_spec.name == "model"
    assert response.model_spec.version.value == 3
    assert response.model_spec.signature_name == ""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert sorted(signatures.signature_def) == [
        "__saved_model_init_op",
        "combine",
        "echo",
        "serving_default",
        "tokenize",
        "wait",
    ]
    x = signatures.signature_def["serving_default"].inputs["x"]
    assert x.dtype == 1
    assert [dim.size for dim in x.tensor_shape.dim] == [-1, 3]


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (
            get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"]),
            "INVALID_ARGUMENT",
            "Missing ModelSpec",
        ),
        (
            metadata_request(),
            "INVALID_ARGUMENT",
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        (
            metadata_request("signature_def", "size"),
            "INVALID_ARGUMENT",
            "Metadata field size is not supported",
        ),
        (
            metadata_request("signature_def", model="other"),
            "NOT_FOUND",
            "Servable not found for request: Latest(other)",
        ),
    ],
)
def test_metadata_errors(stub, message, code, text):
    assert failure(stub.GetModelMetadata, message) == (code, text)


def status_request(model, version=None, label=None):
    message = get_model_status_pb2.GetModelStatusRequest()
    message.model_spec.name = model
    if version is not None:
        message.model_spec.version.value = version
    if label is not None:
        message.model_spec.version_label = label
    return message


@pytest.mark.parametrize("choice", [{}, {"version": 3}, {"label": "ignored"}], ids=str)
def test_status(model_stub, choice):
    response = model_stub.GetModelStatus(status_request("model", **choice), timeout=DEADLINE)
    (entry,) = response.model_version_status
    assert (entry.version, entry.state) == (3, 30)
    assert (entry.status.error_code, entry.status.error_message) == (0, "")
    assert entry.HasField("status")


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (get_model_status_pb2.GetModelStatusRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (status_request("other"), "NOT_FOUND", "Could not find any versions of model other"),
        (status_request("model", 4), "NOT_FOUND", "Could not find version 4 of model model"),
        (status_request("other", 4), "NOT_FOUND", "Could not find version 4 of model other"),
    ],
)
def test_status_errors(model_stub, message, code, text):
    assert failure(model_stub.GetModelStatus, message) == (code, text)


def test_messages_over_four_megabytes(address):
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(address, options) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        x = np.ones((500_000, 3), np.float32)
        y = tf.make_ndarray(stub.Predict(request(x=x), timeout=DEADLINE).outputs["y"])
    assert y.shape == (500_000, 3)
    assert (y == 2).all()


class Broken(Service):
    """A service with a bug, behind the real transport."""

    def open(self, api, request):
        raise KeyError("secret of the implementation")


def test_a_bug_shows_nothing_of_the_inside(caplog):
    server = GrpcServer(Broken(None))
    port = server.listen("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        assert failure(stub.Predict, request()) == (
            "INTERNAL",
            "Internal error; see the log of the server.",
        )
    server.stop()
    assert "secret of the implementation" in caplog.text


def test_many_clients_at_once(address):
    wrong = []

    def work(number):
        with grpc.insecure_channel(address) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            for _ in range(20):
                response = stub.Predict(request(x=np.float32(number)), timeout=DEADLINE)
                if list(response.outputs["y"].float_val) != [2 * number]:
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_stop_lets_calls_finish_and_takes_no_more(base_path):
    server = Server({"model": base_path}, port=0, host="127.0.0.1")
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        running = stub.Predict.future(request("wait", seconds=np.float64(1)), timeout=DEADLINE)
        stub.Predict(request(x=X), timeout=DEADLINE)  # answered, so the first has begun
        server.stop()
        assert running.result().outputs["waited"].double_val[0] == 1
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(request(x=X), timeout=DEADLINE)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert server.available() == []
    server.stop()


def test_wait(base_path):
    with Server({"model": base_path}, port=0, host="127.0.0.1") as server:
        assert server.wait(0.01)
        assert server.available() == [("model", 3)]
    assert not server.wait(0.01)


def test_unix_socket(base_path, tmp_path):
    path = tmp_path / "socket"
    with Server({"model": base_path}, port=0, host="127.0.0.1", socket_path=path):
        with grpc.insecure_channel(f"unix:{path}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            assert stub.Predict(request(x=X), timeout=DEADLINE).outputs["y"].float_val[0] == 2


def test_several_models(base_path, publish, tmp_path):
    other = publish(tmp_path / "other", 11, 5)
    with Server({"a": base_path, "b": other}, port=0, host="127.0.0.1") as server:
        assert server.available() == [("a", 3), ("b", 11)]
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            for model, first in (("a", 2), ("b", 5)):
                outputs = stub.Predict(request(model=model, x=X), timeout=DEADLINE).outputs
                assert outputs["y"].float_val[0] == first


def test_a_port_in_use(base_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            errors.StartError, match=rf"address=127\.0\.0\.1:{port} \(Address already in use\)"
        ):
            Server({"model": base_path}, port=port, host="127.0.0.1")


@pytest.mark.parametrize(
    ("port", "host", "reason"),
    [
        (70_000, "127.0.0.1", "address=127.0.0.1:70000"),
        (0, "203.0.113.1", "Cannot assign requested address"),
    ],
)
def test_an_impossible_address(base_path, port, host, reason):
    with pytest.raises(errors.StartError, match=reason):
        Server({"model": base_path}, port=port, host=host)


def test_two_servers_do_not_share_a_port(base_path, server):
    with pytest.raises(errors.StartError, match="Address already in use"):
        Server({"model": base_path}, port=server.port, host="127.0.0.1")


def test_folders_that_cannot_be_served(tmp_path):
    def start():
        Server({"model": tmp_path / "models"}, port=0, host="127.0.0.1")

    with pytest.raises(errors.StartError, match=r"'model'.*base_path=.*models \(No such file"):
        start()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "not-a-number").mkdir()
    with pytest.raises(errors.StartError, match="Expected a version of model 'model'"):
        start()
    (tmp_path / "models" / "7").mkdir()
    with pytest.raises(
        errors.StartError,
        match=r"1 servable\(s\) did not become available: "
        r"\{\{\{name: model version: 7\} due to error: NOT_FOUND: Could not find SavedModel",
    ):
        start()
