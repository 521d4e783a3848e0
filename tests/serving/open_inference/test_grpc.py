"""The Open Inference Protocol over gRPC: typed contents, reflection, and messages that are wrong.

With the messages of tritonclient, which were made by protoc from NVIDIA's own file.
"""

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from tritonclient.grpc import service_pb2, service_pb2_grpc

from keras_attention_serving.open_inference import messages
from tests.serving.open_inference.conftest import VALUES

DEADLINE = 30
FIELDS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


@pytest.fixture(scope="module")
def channel(echo_server):
    with grpc.insecure_channel(f"127.0.0.1:{echo_server.port}") as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel):
    return service_pb2_grpc.GRPCInferenceServiceStub(channel)


def request(datatype="FP32", shape=(2,), raw=(), signature=None, **contents):
    message = service_pb2.ModelInferRequest(model_name="echo", raw_input_contents=raw)
    message.parameters["signature_name"].string_param = signature or datatype
    entry = message.inputs.add(name=datatype, datatype=datatype, shape=shape)
    for field, values in contents.items():
        getattr(entry.contents, field).extend(values)
    return message


def failure(method, message):
    with pytest.raises(grpc.RpcError) as caught:
        method(message, timeout=DEADLINE)
    return caught.value.code().name, caught.value.details()


@pytest.mark.parametrize("datatype", FIELDS)
def test_typed_contents_both_ways(stub, datatype):
    values = VALUES[datatype]
    message = request(datatype, values.shape, **{FIELDS[datatype]: values.ravel().tolist()})
    response = stub.ModelInfer(message, timeout=DEADLINE)
    (output,) = response.outputs
    assert (output.datatype, tuple(output.shape)) == (datatype, values.shape)
    assert not response.raw_output_contents
    received = np.array(list(getattr(output.contents, FIELDS[datatype])), values.dtype)
    assert received.tobytes() == values.tobytes() or received.tolist() == values.ravel().tolist()


def test_raw_answers_to_raw_requests(stub):
    values = np.float32([3, 5]).tobytes()
    response = stub.ModelInfer(request(raw=[values]), timeout=DEADLINE)
    assert list(response.raw_output_contents) == [values]
    assert not response.outputs[0].HasField("contents")


def test_a_typed_request_for_an_output_without_a_field(stub):
    """Raw, and so is all of the answer then."""
    message = service_pb2.ModelInferRequest(model_name="echo")
    message.parameters["signature_name"].string_param = "combine"
    for name in ("left", "right"):
        message.inputs.add(name=name, datatype="FP32", shape=[1]).contents.fp32_contents.append(7)
    message.outputs.add(name="sum")
    (output,) = stub.ModelInfer(message, timeout=DEADLINE).outputs
    assert list(output.contents.fp32_contents) == [14]
    message.outputs.add(name="half")
    response = stub.ModelInfer(message, timeout=DEADLINE)
    assert not any(output.HasField("contents") for output in response.outputs)
    total, half = response.raw_output_contents
    assert (np.frombuffer(total, "f"), np.frombuffer(half, np.float16)) == ([14], [3.5])


def test_reflection(channel):
    """A client that knows nothing but the address asks for the service and calls it."""
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    service = pool.FindServiceByName("inference.GRPCInferenceService")
    assert [method.name for method in service.methods] == [
        *("ServerLive", "ServerReady", "ModelReady"),
        *("ServerMetadata", "ModelMetadata", "ModelInfer"),
    ]


def test_descriptors_have_the_fields_of_others():
    """Names, numbers and types; nothing is there that they do not have."""

    def described(message):
        found = descriptor_pb2.DescriptorProto()
        message.CopyToProto(found)
        return {
            (field.name, field.number, field.type, field.label, field.type_name.split(".")[-1])
            for field in found.field
        }, message

    def compare(ours, theirs):
        fields, _ = described(ours)
        assert fields <= described(theirs)[0]
        for nested in ours.nested_types:
            compare(nested, theirs.nested_types_by_name[nested.name])

    names = ours = messages.ModelInferRequest.DESCRIPTOR.file.message_types_by_name
    for name in names:
        compare(ours[name], service_pb2.DESCRIPTOR.message_types_by_name[name])


def test_messages_live_beside_those_of_others():
    ours = messages.ModelInferRequest.DESCRIPTOR
    theirs = service_pb2.ModelInferRequest.DESCRIPTOR
    assert ours.full_name == theirs.full_name
    assert ours.file.pool is not theirs.file.pool


def twice():
    message = request(raw=[b"12345678"] * 2)
    message.inputs.add().CopyFrom(message.inputs[0])
    return message


def with_parameter(**values):
    message = request(raw=[b"12345678"])
    message.inputs[0].parameters["shared_memory_region"].string_param = "r"
    return message


def with_version(version):
    message = request(raw=[b"12345678"])
    message.model_version = version
    return message


def with_odd_signature():
    message = request(raw=[b"12345678"])
    message.parameters["signature_name"].int64_param = 3
    return message


WRONG = [
    (service_pb2.ModelInferRequest(), "Expected the name of a model. Received: an empty one"),
    (with_version("-3"), "Expected the version of a model as a number. Received: version=-3"),
    (with_version("9" * 5000), "Received: version=999"),
    (with_version("\u0663"), "Received: version=\u0663"),
    (with_odd_signature(), "to be a string. Received: int64_param"),
    (twice(), "Expected the inputs FP32, each once. Received: FP32, FP32"),
    (with_parameter(), "without the parameter shared_memory_region, which is not supported."),
    (request(raw=[b"", b""]), "for each of 1 inputs, or for none. Received: 2"),
    (
        request(raw=[b"12345678"], fp32_contents=[1, 2]),
        "Expected input 'FP32' in raw_input_contents alone. Received: contents as well",
    ),
    (request(raw=[b"1234567"]), "Expected 8 bytes for input 'FP32', FP32[2]. Received: 7 bytes"),
    (request(), "Expected 2 values for input 'FP32', FP32[2]. Received: 0"),
    (request(fp32_contents=[1, 2, 3]), "Received: 3"),
    (request(fp64_contents=[1, 2]), "in fp32_contents. Received: fp64_contents"),
    (
        request(fp32_contents=[1, 2], bool_contents=[True]),
        "Received: bool_contents, fp32_contents",
    ),
    (request("FP16", fp32_contents=[1, 2]), "in raw_input_contents. Received: contents"),
    (request("INT8", int_contents=[1, -129]), "from -128 to 127 for input 'INT8', INT8."),
    (request("UINT16", uint_contents=[1, 65536]), "Received: 65536"),
    (request(shape=(-1,), raw=[b"1234"]), "of at least 0 in the shape of input 'FP32'."),
    (request(shape=(-1, -2), fp32_contents=[1, 2]), "Received: shape=[-1, -2]"),
    (request(shape=(2**62, 2**62), raw=[b"1234"]), "Received: 4 bytes"),
    (request(shape=(178956969, 3)), "Expected 536870907 values for input 'FP32'"),
    (request(shape=(0, 2**62, 2**62), raw=[b""]), "Expected a shape that an array can have"),
    (request(shape=(1,) * 65, raw=[b"1234"]), "Expected at most 64 axes"),
    (request(shape=(2**62,) * 20_000, raw=[b"1234"]), "Received: 20000"),
    (request("BYTES", (1,), raw=[b"\0\0\0"]), "Received: 3 bytes"),
    (request("BYTES", (2,), raw=[b"\0\0\0\0\1\0\0\0"]), "Received: 8 bytes"),
    (request("BYTES", (2**40,), raw=[b"\0\0\0\0"]), "Expected 1099511627776 strings"),
    (request("BYTES", (1,), bytes_contents=[]), "Expected 1 values"),
    (request("STRING", signature="BYTES"), "Expected the inputs BYTES, each once."),
]


@pytest.mark.parametrize(("message", "text"), WRONG)
def test_wrong_messages(stub, message, text):
    code, details = failure(stub.ModelInfer, message)
    assert code == "INVALID_ARGUMENT"
    assert text in details
    stub.ModelInfer(request(fp32_contents=[3, 5]), timeout=DEADLINE)


def test_bytes_that_are_no_message(channel):
    method = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    assert failure(method, b"\xff\xff\xff")[0] == "INTERNAL"


def test_many_inputs_are_refused_by_their_names(stub):
    message = request(raw=[b"12345678"])
    for i in range(1000):
        message.inputs.add(name=f"{i}", datatype="INT8", shape=[0])
    assert failure(stub.ModelInfer, message)[1].endswith(" and 951 more")


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata"])
def test_wrong_names(stub, method):
    kind = getattr(service_pb2, f"{method}Request")
    call = getattr(stub, method)
    assert failure(call, kind()) == (
        "INVALID_ARGUMENT",
        "Expected the name of a model. Received: an empty one",
    )
    assert failure(call, kind(name="echo", version="x"))[0] == "INVALID_ARGUMENT"
    if method == "ModelReady":
        assert not call(kind(name="nothing"), timeout=DEADLINE).ready
    else:
        assert failure(call, kind(name="nothing"))[0] == "NOT_FOUND"


def test_what_is_absent(stub):
    assert failure(stub.RepositoryIndex, service_pb2.RepositoryIndexRequest())[0] == "UNIMPLEMENTED"
