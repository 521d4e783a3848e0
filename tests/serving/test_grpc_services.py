"""Everything around Predict on the gRPC port: batching, health, reflection, profiler, reloads."""

import contextlib
import http.client
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
import traceback

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_attention_serving import errors
from keras_attention_serving.grpc import profiler as profiler_service
from keras_attention_serving.server import Server
from keras_attention_serving.settings.options import Options

DEADLINE = 30


@contextlib.contextmanager
def serve(base_path, **settings):
    with Server(
        {"model": base_path}, port=0, host="127.0.0.1", settings=Options(**settings)
    ) as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield channel


@pytest.fixture(scope="module")
def channel(address):
    with grpc.insecure_channel(address) as channel:
        yield channel


def request(signature="", **inputs):
    result = predict_pb2.PredictRequest()
    result.model_spec.name = "model"
    result.model_spec.signature_name = signature
    for name, value in inputs.items():
        result.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return result


def failure(method, message, timeout=DEADLINE):
    with pytest.raises(grpc.RpcError) as caught:
        method(message, timeout=timeout)
    return caught.value.code().name, caught.value.details()


# Batching.


@pytest.fixture
def batching(base_path, tmp_path):
    """A stub of a server with these batching parameters."""
    with contextlib.ExitStack() as stack:

        def start(text):
            (tmp_path / "batching").write_text(text)
            channel = stack.enter_context(
                serve(
                    base_path,
                    enable_batching=True,
                    batching_parameters_file=str(tmp_path / "batching"),
                )
            )
            return prediction_service_pb2_grpc.PredictionServiceStub(channel)

        yield start


def test_batches_over_the_wire(batching):
    stub = batching("max_batch_size { value: 64 } batch_timeout_micros { value: 20000 }")
    futures = [
        stub.Predict.future(request(x=np.full((1 + i % 3, 3), i, np.float32)), timeout=DEADLINE)
        for i in range(60)
    ]
    for i, future in enumerate(futures):
        y = tf.make_ndarray(future.result().outputs["y"])
        np.testing.assert_array_equal(y, np.full((1 + i % 3, 3), 2 * i, np.float32), strict=True)


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (
            request(x=np.zeros((41, 3), np.float32)),
            "INVALID_ARGUMENT",
            "Task size 41 is larger than maximum input batch size 32",
        ),
        (
            request(x=np.float32(2)),
            "INVALID_ARGUMENT",
            "Batching Run() input tensors must have at least one dimension",
        ),
        (
            request("combine", left=[1.0, 2.0], right=[1.0]),
            "INVALID_ARGUMENT",
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
        (
            request("wait", seconds=np.float64(0)),
            "INVALID_ARGUMENT",
            "Batching Run() input tensors must have at least one dimension",
        ),
        (
            request(x=np.zeros((2, 3), np.int32)),
            "INVALID_ARGUMENT",
            "Expects arg[0] to be float but int32 is provided",
        ),
    ],
)
def test_batching_errors(batching, message, code, text):
    stub = batching("max_batch_size { value: 32 }")
    assert failure(stub.Predict, message) == (code, text)


def test_outputs_without_rows(batching, saved_model):
    stub = batching("")
    message = request("echo")
    for name, info in saved_model.signatures["echo"].inputs.items():
        value = b"x" if info.dtype == 7 else 1
        array = np.full((2, 3), value, tf.as_dtype(info.dtype).as_numpy_dtype)
        message.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    assert len(stub.Predict(message, timeout=DEADLINE).outputs) == 16


# Deadlines and clients that leave.


def test_a_client_that_left_is_not_computed_for(base_path):
    """One call at a time: those that wait behind it and are given up are never begun."""
    with serve(base_path, grpc_max_threads=1) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        long = request("wait", seconds=np.float64(1))
        running = stub.Predict.future(long, timeout=DEADLINE)
        given_up = [stub.Predict.future(long, timeout=DEADLINE) for _ in range(20)]
        late = [stub.Predict.future(long, timeout=0.3) for _ in range(20)]
        time.sleep(0.2)
        for call in given_up:
            call.cancel()
        start = time.monotonic()
        assert running.result().outputs["waited"].double_val[0] == 1
        stub.Predict(request(x=np.zeros((1, 3), np.float32)), timeout=DEADLINE)
        assert time.monotonic() - start < 20  # not the 40 seconds of work
        codes = {call.code().name for call in late}
        assert codes == {"DEADLINE_EXCEEDED"}


# Numbers as raw bytes.


def test_tensor_content(base_path):
    with serve(base_path, enable_serialization_as_tensor_content=True) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        y = stub.Predict(request(x=np.ones((1, 3), np.float32)), timeout=DEADLINE).outputs["y"]
    assert (list(y.float_val), y.tensor_content) == ([], np.full(3, 2, np.float32).tobytes())


def test_the_name_of_the_method_is_checked_on_request(example_stub, strict_stub):
    message = request("unheard_of")
    message.model_spec.name = "examples"
    message.inputs["inputs"].CopyFrom(
        tf.make_tensor_proto([tf.train.Example().SerializeToString()])
    )
    assert failure(strict_stub.Predict, message) == (
        "INVALID_ARGUMENT",
        "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
        "tensorflow/serving/classify, tensorflow/serving/regress}. Was: unheard_of",
    )
    _, text = failure(example_stub.Predict, message)
    assert "Feature: x" in text


# Reloading.


def reload_request(**models):
    message = model_management_pb2.ReloadConfigRequest()
    message.config.model_config_list.SetInParent()
    for name, path in models.items():
        message.config.model_config_list.config.add(
            name=name, base_path=str(path), model_platform="tensorflow"
        )
    return message


def test_reload(base_path, example_base_path):
    with serve(base_path) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        message = reload_request(model=base_path, examples=example_base_path)
        message.metric_names.append("/tensorflow/serving/request_count")
        response = stub.HandleReloadConfigRequest(message, timeout=DEADLINE)
        assert (response.status.error_code, response.status.error_message) == (0, "")
        assert response.HasField("status")
        assert [(m.name, m.int64_value_increase) for m in response.metric] == [
            ("/tensorflow/serving/request_count", 0)
        ]
        other = request("only_scores")
        other.model_spec.name = "examples"
        code, text = failure(predict, other)
        assert (code, text.partition(":")[0]) == (
            "INVALID_ARGUMENT",
            "input size does not match signature",
        )
        stub.HandleReloadConfigRequest(reload_request(examples=example_base_path), timeout=DEADLINE)
        end = time.monotonic() + DEADLINE
        x = request(x=np.ones((1, 3), np.float32))
        while True:
            try:
                predict(x, timeout=DEADLINE)
            except grpc.RpcError as error:
                assert error.details() == "Servable not found for request: Latest(model)"
                break
            assert time.monotonic() < end


def test_reloads_that_wait_hold_nobody_up(base_path, tmp_path):
    """A newer configuration replaces one that waits; status has threads of its own."""
    with serve(base_path) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        reload = stub.HandleReloadConfigRequest
        waiting = reload.future(reload_request(model=base_path, missing=tmp_path / "missing"))
        others = [
            reload.future(reload_request(model=base_path, **{f"m{i}": tmp_path / str(i)}))
            for i in range(11)
        ]
        status = get_model_status_pb2.GetModelStatusRequest()
        status.model_spec.name = "model"
        assert stub.GetModelStatus(status, timeout=DEADLINE).model_version_status[0].version == 3
        codes = [call.code().name for call in (waiting, *others) if call.done()]
        assert set(codes) <= {"ABORTED"}
        reload(reload_request(model=base_path), timeout=DEADLINE)
        for call in (waiting, *others):
            assert isinstance(call.exception(timeout=DEADLINE), grpc.RpcError)
            assert call.code().name == "ABORTED"


def test_a_reload_ends_when_its_caller_has_left(base_path, tmp_path):
    with serve(base_path) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        call = stub.HandleReloadConfigRequest.future(
            reload_request(model=base_path, missing=tmp_path / "missing")
        )

        def is_waiting():
            stacks = map(traceback.walk_stack, sys._current_frames().values())
            return any(frame.f_code.co_name == "_wait_for" for s in stacks for frame, _ in s)

        end = time.monotonic() + DEADLINE
        while not is_waiting():
            assert time.monotonic() < end
            time.sleep(0.01)
        call.cancel()
        while is_waiting():
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_configuration_that_is_wrong(base_path):
    with serve(base_path) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        code, _ = failure(stub.HandleReloadConfigRequest, reload_request(model="relative/path"))
        assert code == "INVALID_ARGUMENT"


# Health and reflection.


def test_health(base_path):
    with serve(base_path, enable_grpc_healthcheck_service=True) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", "ModelService", "PredictionService"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=DEADLINE)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        other = health_pb2.HealthCheckRequest(service="tensorflow.serving.PredictionService")
        assert failure(stub.Check, other)[0] == "NOT_FOUND"
        first = next(stub.Watch(health_pb2.HealthCheckRequest(), timeout=DEADLINE))
        assert first.status == health_pb2.HealthCheckResponse.SERVING
        assert "grpc.health.v1.Health" in services(channel)


def test_health_that_follows_the_models(publish, tmp_path):
    """Check, Watch and GET /healthz, while a model loses its only version and gets another."""
    other, base_path = publish(tmp_path / "other", 3, 2), publish(tmp_path / "model", 3, 2)
    status = health_pb2.HealthCheckResponse
    names = ("", "ModelService", "PredictionService", "tensorflow.serving.PredictionService")
    names += ("inference.GRPCInferenceService",)
    server = Server(
        *({"model": base_path, "other": other},),
        **{"port": 0, "rest_port": 0, "host": "127.0.0.1", "poll_wait_seconds": 0.05},
        settings=Options(health_follows_models=True),
    )

    def healthz():
        connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=DEADLINE)
        with contextlib.closing(connection):
            connection.request("GET", "/healthz")
            return connection.getresponse().status

    with server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watches = [stub.Watch(health_pb2.HealthCheckRequest(service=name)) for name in names]
        unknown = stub.Watch(health_pb2.HealthCheckRequest(service="unknown"), timeout=DEADLINE)
        assert next(unknown).status == status.SERVICE_UNKNOWN

        def check(expected, http_status):
            for name, watch in zip(names, watches, strict=True):
                assert next(watch).status == expected
                request = health_pb2.HealthCheckRequest(service=name)
                assert stub.Check(request, timeout=DEADLINE).status == expected
            assert healthz() == http_status

        check(status.SERVING, 200)
        (base_path / "3").rename(tmp_path / "aside")  # and no version is left
        check(status.NOT_SERVING, 503)
        (tmp_path / "aside").rename(base_path / "5")
        check(status.SERVING, 200)
        server.stop(DEADLINE)
        for watch in watches:  # ended, not cancelled when the grace is over
            assert next(watch).status == status.NOT_SERVING
            with pytest.raises(grpc.RpcError) as caught:
                next(watch)
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
            assert caught.value.details() == "The server is stopping."


def test_no_health_unless_asked_for(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    assert failure(stub.Check, health_pb2.HealthCheckRequest())[0] == "UNIMPLEMENTED"


def reflect(channel, **question):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    question = reflection_pb2.ServerReflectionRequest(**question)
    (answer,) = stub.ServerReflectionInfo(iter([question]), timeout=DEADLINE)
    return answer


def services(channel):
    answer = reflect(channel, list_services="")
    return [service.name for service in answer.list_services_response.service]


def test_reflection(channel):
    assert services(channel) == [
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "inference.GRPCInferenceService",
        "tensorflow.serving.ModelService",
        "tensorflow.serving.PredictionService",
    ]
    answer = reflect(channel, file_containing_symbol="tensorflow.serving.PredictionService")
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(data)
        for data in answer.file_descriptor_response.file_descriptor_proto
    ]
    (methods,) = [
        [method.name for method in service.method] for file in files for service in file.service
    ]
    assert methods == ["Classify", "Regress", "Predict", "MultiInference", "GetModelMetadata"]
    unknown = reflect(channel, file_containing_symbol="tensorflow.serving.Nothing")
    assert unknown.error_response.error_code == 5


def test_a_client_that_knows_nothing_but_reflection(channel):
    """With grpcio-reflection's own: methods and messages out of the server."""
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    service = pool.FindServiceByName("tensorflow.serving.PredictionService")
    method = service.methods_by_name["Predict"]
    asked = message_factory.GetMessageClass(method.input_type)
    answered = message_factory.GetMessageClass(method.output_type)
    message = asked(model_spec={"name": "model"})
    message.inputs["x"].ParseFromString(tf.make_tensor_proto([[1.0, 2.0, 3.0]]).SerializeToString())
    predict = channel.unary_unary(
        f"/{service.full_name}/Predict", asked.SerializeToString, answered.FromString
    )
    assert list(predict(message, timeout=DEADLINE).outputs["y"].float_val) == [2, 4, 6]


def test_the_stable_reflection(channel):
    """The messages of v1 are those of v1alpha."""
    method = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    symbol = "grpc.reflection.v1.ServerReflection"
    questions = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol),
    ]
    first, second = method(iter(questions), timeout=DEADLINE)
    assert [service.name for service in first.list_services_response.service] == services(channel)
    (data,) = second.file_descriptor_response.file_descriptor_proto
    file = descriptor_pb2.FileDescriptorProto.FromString(data)
    assert (file.package, file.service[0].method[0].input_type) == (
        "grpc.reflection.v1",
        ".grpc.reflection.v1.ServerReflectionRequest",
    )


SCRIPT = """
    import sys
    {first}
    from keras_attention_serving.grpc.server import GrpcServer
    from keras_attention_serving.service import Service
    import grpc
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
    server = GrpcServer(Service(None), health=True, profiler=True)
    port = server.listen("127.0.0.1:0")
    server.start()
    {then}
    with grpc.insecure_channel(f"127.0.0.1:{{port}}") as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(
            file_containing_symbol="tensorflow.TensorProto"
        )
        (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=30)
        print(len(answer.file_descriptor_response.file_descriptor_proto))
    server.stop()
    print("tensorflow" in sys.modules)
"""
TENSORFLOW = "from tensorflow_serving.apis import predict_pb2"


@pytest.mark.parametrize(
    ("first", "then", "imported"),
    [("", "", "False"), (TENSORFLOW, "", "True"), ("", TENSORFLOW, "True")],
    ids=["without", "before", "after"],
)
def test_messages_do_not_clash_with_tensorflows(first, then, imported):
    script = textwrap.dedent(SCRIPT).format(first=first, then=then)
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["4", imported]


# The profiler.


@pytest.fixture
def profiler(base_path):
    settings = Options(enable_profiler=True)
    with Server({"model": base_path}, port=0, settings=settings) as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield channel.unary_unary


@pytest.mark.skipif(not tf.__version__.startswith("2.21."), reason="offered with that one alone")
def test_profiler(profiler, tmp_path):
    """`ProfileRequest{duration_ms: 5, repository_root: .., session_id: .., host_name: ..}`."""
    profile = profiler("/tensorflow.ProfilerService/Profile")
    texts = {5: str(tmp_path).encode(), 6: b"session", 7: b"host"}
    request = b"\x08\x05" + b"".join(
        bytes([field << 3 | 2, len(text)]) + text for field, text in texts.items()
    )
    assert isinstance(profile(request, timeout=DEADLINE), bytes)
    assert list(tmp_path.rglob("*.xplane.pb"))
    assert failure(profiler("/tensorflow.ProfilerService/Nothing"), b"") == (
        "UNIMPLEMENTED",
        "",
    )


def test_no_profiler_unless_asked_for(channel):
    method = channel.unary_unary("/tensorflow.ProfilerService/Profile")
    assert failure(method, b"") == ("UNIMPLEMENTED", "Method not found!")


@pytest.mark.parametrize(
    "restriction",
    [
        {"host": "127.0.0.1"},
        {"host": "::1"},
        {"socket_path": "/nowhere/socket"},
        {"credentials": grpc.ssl_server_credentials([(b"key", b"certificate")])},
    ],
    ids=lambda restriction: next(iter(restriction)),
)
def test_no_profiler_where_not_everybody_gets_in(base_path, restriction):
    settings = Options(enable_profiler=True)
    with pytest.raises(errors.StartError, match="^Expected no credentials, host or socket with"):
        Server({"model": base_path}, port=0, settings=settings, **restriction)


def test_no_profiler_in_versions_that_nobody_tried(base_path, monkeypatch):
    monkeypatch.setattr(profiler_service, "TESTED", ("1.13.", "1.17."))
    expected = r"^Expected TensorFlow 1\.13\.\* or 1\.17\.\* with enable_profiler\. Received: 2"
    with pytest.raises(errors.StartError, match=expected):
        Server({"model": base_path}, port=0, settings=Options(enable_profiler=True))


# The transport.


def test_channel_arguments(base_path):
    with serve(base_path, grpc_channel_arguments="grpc.max_receive_message_length=1000") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        code, text = failure(stub.Predict, request(x=np.zeros((1000, 3), np.float32)))
    assert (code, text.partition(":")[0]) == ("RESOURCE_EXHAUSTED", "SERVER")


def test_a_request_that_is_no_message(channel):
    method = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    assert failure(method, b"\xff\xff\xff") == ("INTERNAL", "The request cannot be parsed.")


def from_many_connections(stack, channel, connections, calls, message, timeout):
    """The codes of so many calls at once on each of so many connections."""
    address = channel._channel.target().decode()
    futures = []
    for _ in range(connections):
        other = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
        stub = prediction_service_pb2_grpc.PredictionServiceStub(stack.enter_context(other))
        futures += [stub.Predict.future(message, timeout=timeout) for _ in range(calls)]
    return {future.code().name for future in futures}


def test_too_many_calls_are_refused(base_path):
    with contextlib.ExitStack() as stack:
        channel = stack.enter_context(serve(base_path, grpc_max_threads=1))
        message = request("wait", seconds=np.float64(0.5))
        codes = from_many_connections(stack, channel, 5, 220, message, timeout=2)
    assert codes == {"OK", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}


def test_bursts_are_refused_and_not_cancelled(base_path):
    with contextlib.ExitStack() as stack:
        channel = stack.enter_context(serve(base_path, grpc_max_calls=41))
        message = request("wait", seconds=np.float64(0.01))
        codes = from_many_connections(stack, channel, 7, 101, message, DEADLINE)
    assert codes == {"OK", "RESOURCE_EXHAUSTED"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"grpc_max_calls": 404, "enable_batching": True}, 101),
        ({"grpc_max_calls": 404, "grpc_max_threads": 13}, 52),
        ({"grpc_max_calls": 404, "grpc_max_threads": 7}, 32),
        ({"grpc_max_calls": 44, "grpc_max_threads": 13}, 11),
        ({"grpc_max_calls": 3}, 1),
    ],
    ids=str,
)
def test_calls_of_one_connection_are_a_part_of_all(base_path, settings, expected):
    with serve(base_path, **settings) as channel:
        port = int(channel._channel.target().decode().rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0] * 3 + [4] + [0] * 5))
            with connection.makefile("rb") as file:
                length, kind = int.from_bytes(file.read(3)), file.read(1)
                file.read(5)  # flags and stream
                assert kind == b"\4"  # SETTINGS
                entries = dict(struct.iter_unpack(">HI", file.read(length)))
    assert entries[3] == expected  # SETTINGS_MAX_CONCURRENT_STREAMS


def test_threads_end_with_the_server(base_path):
    before = {thread.name for thread in threading.enumerate()}
    with serve(base_path, enable_batching=True) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        stub.Predict(request(x=np.ones((1, 3), np.float32)), timeout=DEADLINE)
    names = [thread.name for thread in threading.enumerate() if thread.name not in before]
    assert not [name for name in names if not name.startswith(("grpc", "Thread"))]
