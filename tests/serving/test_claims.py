"""Small messages that claim a lot of memory: their limit, and the threads that read them."""

import threading

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import prediction_service_pb2_grpc

from keras_attention_serving.errors import ResourceExhausted
from keras_attention_serving.protocol import claims, tensors, wire
from keras_attention_serving.server import Server
from keras_attention_serving.service import PendingInference
from keras_attention_serving.settings.options import Options


def tensor(dtype, *sizes, **values):
    proto = wire.TensorProto(dtype=dtype, **values)
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    return proto


def request(proto, alias="x", signature=""):
    message = wire.PredictRequest()
    message.model_spec.name, message.model_spec.signature_name = "model", signature
    message.inputs[alias].CopyFrom(proto)
    return message


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        (tensor(1, 1009, 3), 12108),
        (tensor(1, 1009, 3, float_val=[2.0]), 12104),
        (tensor(9, 7, int64_val=[2, 3, 5]), 32),
        (tensor(1, 2, float_val=[2.0, 3.0]), 0),
        (tensor(1, 1, float_val=[2.0, 3.0]), 0),
        (tensor(1, 1009, tensor_content=b"1234"), 0),  # refused for its length
        (tensor(7, 101), 2424),  # 24 bytes of an empty string
        (tensor(7, 101, string_val=[b"2", b"seven"]), 99 * 29),
        (tensor(1, 0, 1009), 0),
        (tensor(1, 2**62, 2**62), 0),  # refused: no message holds it
        (tensor(20, 1009), 0),  # a dtype that no array holds
    ],
)
def test_claims_of_a_tensor(proto, expected):
    assert tensors.claimed_bytes(proto) == expected
    assert claims.claimed_bytes(request(proto)) == expected


@pytest.mark.parametrize(
    "message",
    [wire.ClassificationRequest(), wire.RegressionRequest(), wire.MultiInferenceRequest()],
    ids=lambda message: message.DESCRIPTOR.name,
)
def test_a_context_is_there_for_each_example(message):
    with_context = message.input.example_list_with_context
    with_context.context.features.feature["x"].bytes_list.value.append(b"12345")
    for _ in range(1009):
        with_context.examples.add()
    assert claims.claimed_bytes(message) == 1009 * with_context.context.ByteSize() > 1009 * 5
    with pytest.raises(ResourceExhausted, match="--max_claimed_input_bytes"):
        claims.check(message, 5045)


@pytest.fixture(scope="module")
def stub(base_path):
    settings = Options(max_claimed_input_bytes=1 << 22, grpc_max_threads=2)
    with Server({"model": base_path}, port=0, host="127.0.0.1", settings=settings) as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.mark.parametrize("proto", [tensor(1, 178956969, 3), tensor(7, 2**22)], ids=["f", "s"])
def test_too_large_a_claim_is_refused(stub, proto):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(request(proto), timeout=30)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "--max_claimed_input_bytes" in caught.value.details()


def test_large_claims_are_read_and_large_answers_written_in_threads(stub, monkeypatch):
    """They must not block the event loop."""
    threads = []

    def spy(function):
        def spied(*arguments, **keywords):
            threads.append(threading.current_thread().name)
            return function(*arguments, **keywords)

        return spied

    monkeypatch.setattr(tensors, "to_array", spy(tensors.to_array))
    monkeypatch.setattr(PendingInference, "_serialize", spy(PendingInference._serialize))
    monkeypatch.setattr(PendingInference, "_run_in_thread", spy(PendingInference._run_in_thread))
    response = stub.Predict(request(tensor(1, 100_003, 3)), timeout=30)
    assert len(response.outputs["y"].float_val) == 300_009
    assert threads and all(name.startswith("grpc-runs") for name in threads)


def test_a_small_claim_is_filled_up(stub):
    response = stub.Predict(request(tensor(1, 2, 3, float_val=[5.0])), timeout=30)
    assert list(response.outputs["y"].float_val) == [10.0] * 6


def test_integers_are_written_in_turns():
    values = np.arange(50_021, dtype=np.int32)
    proto = tensors.to_proto(values, typed=True)
    assert list(proto.int_val) == values.tolist()
