"""NVIDIA's client against the embedded server, over both transports, blocking and asynchronous."""

import asyncio

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

from keras_attention_serving import Client
from tests.serving.open_inference.conftest import VALUES

MODULES = {"http": tritonclient.http, "grpc": tritonclient.grpc}
SUM = {"left": np.float32([2, 3, 5]), "right": np.float32([7, 11, 13])}


def address(server, transport):
    return f"127.0.0.1:{server.rest_port if transport == 'http' else server.port}"


@pytest.fixture(params=["http", "grpc"])
def transport(request):
    return request.param


@pytest.fixture
def client(echo_server, transport):
    module = MODULES[transport]
    with module.InferenceServerClient(address(echo_server, transport)) as client:
        yield client


def tensors(transport, arrays, **options):
    made = []
    for name, array in arrays.items():
        datatype = next(n for n, v in VALUES.items() if v.dtype == array.dtype)
        made.append(MODULES[transport].InferInput(name, array.shape, datatype))
        made[-1].set_data_from_numpy(array, **options)
    return made


def outputs(transport, *names, **options):
    return [MODULES[transport].InferRequestedOutput(name, **options) for name in names]


def same(ours, expected):
    """Equal in dtype, shape and every bit."""
    assert (ours.dtype, ours.shape) == (expected.dtype, expected.shape)
    if expected.dtype == object:
        assert ours.tolist() == expected.tolist()
    else:
        assert ours.tobytes() == expected.tobytes()


@pytest.mark.parametrize("datatype", VALUES)
def test_every_datatype_is_answered_as_by_predict(echo_server, client, transport, datatype):
    value = VALUES[datatype]
    answer = client.infer(
        "echo", tensors(transport, {datatype: value}), parameters={"signature_name": datatype}
    )
    same(answer.as_numpy("y"), value)
    with Client(f"127.0.0.1:{echo_server.port}") as ours:
        same(ours.predict("echo", {datatype: value}, signature=datatype)["y"], value)


# tritonclient refuses BF16 and bytes that are not UTF-8 in JSON.
@pytest.mark.parametrize("datatype", [name for name in VALUES if name != "BF16"])
def test_every_datatype_in_json(echo_server, datatype):
    with tritonclient.http.InferenceServerClient(address(echo_server, "http")) as client:
        answer = client.infer(
            "echo",
            tensors("http", {datatype: VALUES[datatype]}, binary_data=False),
            outputs=outputs("http", "y", binary_data=False),
            parameters={"signature_name": datatype},
        )
    expected = VALUES[datatype]
    if datatype == "BYTES":
        expected = np.array([[value.decode() for value in expected[0]]], object)
    same(answer.as_numpy("y"), expected)


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1, 2, 3)])
def test_shapes(client, transport, shape):
    for name, dtype in (("INT16", np.int16), ("BYTES", object)):
        value = np.full(shape, 7 if dtype is np.int16 else b"seven", dtype)
        made = MODULES[transport].InferInput(name, shape, name)
        made.set_data_from_numpy(value)
        answer = client.infer("echo", [made], parameters={"signature_name": name})
        same(answer.as_numpy("y"), value)


def test_several_inputs_and_outputs_as_predict(echo_server, client, transport):
    with Client(f"127.0.0.1:{echo_server.port}") as ours:
        expected = ours.predict("echo", SUM, signature="combine")
    answer = client.infer("echo", tensors(transport, SUM), parameters={"signature_name": "combine"})
    for name in ("half", "ratio", "sum", "text"):
        same(answer.as_numpy(name), expected[name])


def test_requested_outputs_in_their_order(client, transport):
    answer = client.infer(
        "echo",
        tensors(transport, SUM),
        outputs=outputs(transport, "sum", "ratio"),
        request_id="request 17",
        parameters={"signature_name": "combine", "colour": "blue", "size": 5, "warm": True},
    )
    response = answer.get_response()
    if transport == "grpc":
        names = [output.name for output in response.outputs]
        head = response.model_name, response.model_version, response.id
    else:
        names = [output["name"] for output in response["outputs"]]
        head = response["model_name"], response["model_version"], response["id"]
    assert names == ["sum", "ratio"]
    assert head == ("echo", "3", "request 17")
    np.testing.assert_array_equal(answer.as_numpy("sum"), np.float32([9, 14, 18]))


def test_binary_and_json_in_one_request(echo_server):
    left, right = tensors("http", SUM, binary_data=False)
    right.set_data_from_numpy(SUM["right"], binary_data=True)
    with tritonclient.http.InferenceServerClient(address(echo_server, "http")) as client:
        answer = client.infer(
            "echo",
            [right, left],
            outputs=[
                *outputs("http", "text", binary_data=False),
                *outputs("http", "ratio", "sum", binary_data=True),
            ],
            parameters={"signature_name": "combine"},
        )
    assert answer.get_output("text")["data"] == ["2.000000", "3.000000", "5.000000"]
    same(answer.as_numpy("ratio"), SUM["left"] / SUM["right"])
    same(answer.as_numpy("sum"), SUM["left"] + SUM["right"])


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed(client, transport, algorithm):
    name = "request_compression_algorithm" if transport == "http" else "compression_algorithm"
    answer = client.infer("echo", tensors(transport, {"x": VALUES["FP32"]}), **{name: algorithm})
    same(answer.as_numpy("y"), VALUES["FP32"])


def test_health(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("echo")
    assert client.is_model_ready("echo", "3")
    assert not client.is_model_ready("echo", "7")
    assert not client.is_model_ready("nothing")


def test_metadata(client, transport):
    as_json = {"as_json": True} if transport == "grpc" else {}
    server = client.get_server_metadata(**as_json)
    assert server["name"] == "keras_attention_serving"
    assert server["extensions"] == ["binary_tensor_data", "parameters"]
    model = client.get_model_metadata("echo", "3", **as_json)
    for tensor in (*model["inputs"], *model["outputs"]):
        tensor["shape"] = list(map(int, tensor["shape"]))  # JSON of protobuf writes int64 as text
    assert model == {
        "name": "echo",
        "versions": ["3"],
        "platform": "tensorflow_savedmodel",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
    }


def test_metadata_of_another_signature(echo_server):
    with tritonclient.http.InferenceServerClient(address(echo_server, "http")) as client:
        found = client.get_model_metadata("echo", query_params={"signature_name": "combine"})
    assert [(t["name"], t["datatype"]) for t in found["outputs"]] == [
        *(("half", "FP16"), ("ratio", "FP32"), ("sum", "FP32"), ("text", "BYTES"))
    ]


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"model_name": "nothing"}, "NOT_FOUND 404", "Latest(nothing)"),
        ({"model_version": "7"}, "NOT_FOUND 404", "Specific(echo, 7)"),
        ({"model_version": "x"}, "INVALID_ARGUMENT 400", "Received: version=x"),
        (
            {"parameters": {"signature_name": "none"}},
            "INVALID_ARGUMENT 400",
            "Expected the parameter signature_name to be one of BF16, BOOL, BYTES, FP16, FP32, "
            "FP64, INT16, INT32, INT64, INT8, UINT16, UINT32, UINT64, UINT8, combine, complex, "
            "scale, serving_default, wait. Received: none",
        ),
        (
            {"inputs": {}},
            "INVALID_ARGUMENT 400",
            "Expected the inputs x, each once. Received: none",
        ),
        (
            {"inputs": {"z": np.float32([1])}},
            "INVALID_ARGUMENT 400",
            "Expected the inputs x, each once. Received: z",
        ),
        (
            {"inputs": {"x": np.int64([1])}},
            "INVALID_ARGUMENT 400",
            "Expected input 'x' of datatype FP32. Received: datatype=INT64",
        ),
        ({"outputs": ["z"]}, "INVALID_ARGUMENT 400", "Expected outputs among y. Received: z"),
        (
            {
                "inputs": {"parts": np.float32([[1, 2]])},
                "parameters": {"signature_name": "complex"},
            },
            "INVALID_ARGUMENT 400",
            "Expected output 'number' to have a datatype of the Open Inference Protocol. "
            "Received: DT_COMPLEX64",
        ),
    ],
)
def test_errors(client, transport, change, status, text):
    arguments = {"model_name": "echo", "inputs": {"x": np.float32([1])}, "outputs": [], **change}
    arguments["inputs"] = tensors(transport, arguments["inputs"])
    arguments["outputs"] = outputs(transport, *arguments["outputs"])
    with pytest.raises(InferenceServerException) as caught:
        client.infer(**arguments)
    assert caught.value.status().removeprefix("StatusCode.") in status.split()
    assert text in caught.value.message()


def test_an_input_that_has_a_default(client, transport):
    x = {"x": np.float32([3, 5])}
    scale = {"parameters": {"signature_name": "scale"}}
    same(client.infer("echo", tensors(transport, x), **scale).as_numpy("y"), np.float32([21, 35]))
    both = tensors(transport, {**x, "factor": np.array(2, np.float32)})
    same(client.infer("echo", both, **scale).as_numpy("y"), np.float32([6, 10]))
    with pytest.raises(InferenceServerException) as caught:
        client.infer("echo", tensors(transport, {"factor": np.array(2, np.float32)}), **scale)
    assert caught.value.message() == (
        "Expected the inputs x and perhaps factor, each once. Received: factor"
    )


def test_outputs_that_have_a_datatype(client, transport):
    answer = client.infer(
        "echo",
        tensors(transport, {"parts": np.float32([[3, 4], [5, 12]])}),
        outputs=outputs(transport, "size"),
        parameters={"signature_name": "complex"},
    )
    np.testing.assert_array_equal(answer.as_numpy("size"), np.float32([5, 13]))


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_asynchronous(echo_server, transport):
    module = {"http": tritonclient.http.aio, "grpc": tritonclient.grpc.aio}[transport]

    async def main():
        async with module.InferenceServerClient(address(echo_server, transport)) as client:
            assert await client.is_server_live()
            assert await client.is_model_ready("echo")
            asked = [{"x": np.float32([i, 0.5])} for i in range(11)]
            calls = [client.infer("echo", tensors(transport, arrays)) for arrays in asked]
            answers = await asyncio.gather(*calls)
            with pytest.raises(InferenceServerException, match="Latest\\(nothing\\)"):
                await client.infer("nothing", tensors(transport, asked[0]))
        for arrays, answer in zip(asked, answers, strict=True):
            same(answer.as_numpy("y"), arrays["x"])

    asyncio.run(main())
