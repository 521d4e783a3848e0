"""The Open Inference Protocol over HTTP as curl and others speak it, and bodies that are wrong."""

import gzip
import http.client
import json

import numpy as np
import pytest

from keras_attention_serving import errors
from keras_attention_serving.open_inference import messages
from keras_attention_serving.rest.open_inference import json_response

DEADLINE = 30
INFER = "/v2/models/echo/infer"


def ask(server, method, path, body=None, **headers):
    """Status, body and headers of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=DEADLINE)
    try:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, names)
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


def infer(server, document, binary=b"", **headers):
    """Status and JSON of an answer."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    if binary:
        headers["Inference_Header_Content_Length"] = str(len(body))
    status, answer, _ = ask(server, "POST", INFER, body + binary, **headers)
    return status, json.loads(answer)


def tensor(**changes):
    """A request of one input; changes of the input, None for what it lacks."""
    entry = {"name": "x", "shape": [2], "datatype": "FP32", "data": [3, 5], **changes}
    return {"inputs": [{name: value for name, value in entry.items() if value is not None}]}


def typed(datatype, shape, data):
    document = tensor(name=datatype, datatype=datatype, shape=shape, data=data)
    return {**document, "parameters": {"signature_name": datatype}}


def test_answer(echo_server):
    status, body, headers = ask(echo_server, "POST", INFER, json.dumps(tensor()))
    assert (status, headers["content-type"]) == (200, "application/json")
    assert "inference-header-content-length" not in headers
    assert json.loads(body) == {
        "model_name": "echo",
        "model_version": "3",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [3.0, 5.0]}],
    }


def test_version_in_the_path(echo_server):
    path = "/v2/models/echo/versions/3/infer"
    status, body, _ = ask(echo_server, "POST", path, json.dumps({**tensor(), "id": "17"}))
    assert (status, json.loads(body)["id"]) == (200, "17")


@pytest.mark.parametrize(
    "data", [[[2, 3, 5], [7, 11, 13]], [2, 3, 5, 7, 11, 13], [[2.0, 3, 5], [7, 11, 13.0]]]
)
def test_nested_and_flat(echo_server, data):
    status, answer = infer(echo_server, tensor(shape=[2, 3], data=data))
    assert (status, answer["outputs"][0]["shape"]) == (200, [2, 3])
    assert answer["outputs"][0]["data"] == [2, 3, 5, 7, 11, 13]


@pytest.mark.parametrize(
    ("shape", "data"),
    [([], [7]), ([], 7), ([0], []), ([0, 3], []), ([2, 0], [[], []]), ([1, 1], [[7]])],
)
def test_shapes(echo_server, shape, data):
    status, answer = infer(echo_server, tensor(shape=shape, data=data))
    output = answer["outputs"][0]
    assert (status, output["shape"], len(output["data"])) == (200, shape, int(np.prod(shape)))


def test_what_json_does_not_know(echo_server):
    body = json.dumps(tensor(shape=[4], data=[np.nan, np.inf, -np.inf, -0.0])).encode()
    status, answer = infer(echo_server, body)
    assert status == 200
    assert str(answer["outputs"][0]["data"]) == "[nan, inf, -inf, -0.0]"


def test_bfloat16_in_json(echo_server):
    status, answer = infer(echo_server, typed("BF16", [3], [1, 0.3333, 3e38]))
    assert status == 200
    assert answer["outputs"][0]["data"] == [1.0, 0.333984375, 3.00405527e38]


def test_null_is_nothing(echo_server):
    document = {"id": None, "parameters": None, "outputs": None, **tensor()}
    document["inputs"][0]["parameters"] = {"content_type": None}
    status, answer = infer(echo_server, document)
    assert (status, answer["outputs"][0]["data"]) == (200, [3, 5])


def test_binary_both_ways(echo_server):
    document = tensor(data=None, parameters={"binary_data_size": 8})
    document["parameters"] = {"binary_data_output": True}
    head = json.dumps(document).encode()
    values = np.float32([3, 5]).tobytes()
    size = {"Inference_Header_Content_Length": str(len(head))}
    status, body, headers = ask(echo_server, "POST", INFER, head + values, **size)
    assert (status, headers["content-type"]) == (200, "application/octet-stream")
    length = int(headers["inference-header-content-length"])
    assert json.loads(body[:length])["outputs"] == [
        {"name": "y", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}
    ]
    assert body[length:] == values


def test_an_output_decides_for_itself(echo_server):
    document = tensor()
    document["parameters"] = {"binary_data_output": True}
    document["outputs"] = [{"name": "y", "parameters": {"binary_data": False}}]
    assert infer(echo_server, document)[1]["outputs"][0]["data"] == [3, 5]


def test_gzip(echo_server):
    body = gzip.compress(json.dumps(tensor()).encode())
    status, answer = infer(echo_server, body, Content_Encoding="gzip")
    assert (status, answer["outputs"][0]["data"]) == (200, [3, 5])


def test_the_deadline_holds_for_the_writing_of_json():
    """Between two pieces of a large tensor."""
    response = messages.ModelInferResponse()
    response.outputs.add(name="y", datatype="INT8", shape=[50_000])
    response.raw_output_contents.append(bytes(50_000))
    looks = iter([None, errors.DeadlineExceeded("Too late.")])

    def check():
        if error := next(looks):
            raise error

    with pytest.raises(errors.DeadlineExceeded):
        json_response.inference(response, {}, False, check)


def test_text_that_is_none(echo_server):
    document = tensor(name="BYTES", datatype="BYTES", data=None, shape=[1])
    document["inputs"][0]["parameters"] = {"binary_data_size": 5}
    document["parameters"] = {"signature_name": "BYTES"}
    status, answer = infer(echo_server, document, b"\1\0\0\0\xff")
    assert status == 400
    assert answer["error"].startswith("Expected output 'y' to be UTF-8 for an answer in JSON.")


WRONG = [
    (b"", "JSON Parse error: The document is empty"),
    (b"[1]", "Is not object"),
    (b'{"inputs": [', "JSON Parse error"),
    ({}, "Expected 'inputs' to be a list of objects. Received: null"),
    ({"inputs": [3]}, "Expected 'inputs' to be a list of objects."),
    ({"inputs": []}, "Expected the inputs x, each once. Received: none"),
    ({"inputs": [*tensor()["inputs"], *tensor()["inputs"]]}, "Received: x, x"),
    ({**tensor(), "outputs": {"name": "y"}}, "Expected 'outputs' to be a list of objects."),
    ({**tensor(), "outputs": [{"name": "y"}, {"name": "y"}]}, "Expected output 'y' once."),
    ({**tensor(), "outputs": [{}]}, "Expected 'name' of an output to be a string. Received: null"),
    ({**tensor(), "id": 17}, "Expected 'id' of the request to be a string. Received: 17"),
    ({**tensor(), "parameters": [1]}, "Expected the parameters of the request to be an object."),
    (
        {**tensor(), "parameters": {"a": [1]}},
        "Expected the parameter a of the request to be a string",
    ),
    ({**tensor(), "parameters": {"signature_name": 3}}, "signature_name to be a string"),
    (
        {**tensor(), "parameters": {"binary_data_output": "yes"}},
        "Expected the parameter binary_data_output of the request to be true or false.",
    ),
    (tensor(name=None), "Expected 'name' of an input to be a string. Received: null"),
    (tensor(datatype=None), "Expected 'datatype' of input 'x' to be a string. Received: null"),
    (tensor(datatype="FLOAT"), "UINT8, UINT16, UINT32, UINT64, INT8"),
    (tensor(datatype="FLOAT"), "Received: datatype='FLOAT'"),
    (tensor(shape=None), "Expected the shape of input 'x' as a list of sizes from 0 to 2^63 - 1."),
    (tensor(shape=[-1]), "Received: shape=["),
    (tensor(shape=[2.0]), "Received: shape=["),
    (tensor(shape=[True, 2]), "Received: shape=["),
    (tensor(shape=[2**64]), "Received: shape=["),
    (tensor(shape=[2**62, 2**62]), "Received: 2"),
    (tensor(shape=[3]), "Expected 3 values for input 'x', FP32[3]. Received: 2"),
    (tensor(shape=[1] * 65, data=[7]), "Expected at most 64 axes for input 'x'. Received: 65"),
    (tensor(shape=[0, 2**62, 2**62], data=[]), "Expected a shape that an array can have"),
    (tensor(data=None), "Expected data, or the parameter binary_data_size, for input 'x'."),
    (tensor(data={"b64": ""}), "Expected 2 values for input 'x', FP32[2]. Received: 1"),
    (tensor(data=[3, "5"]), "Expected numbers for input 'x', FP32. Received: \"5\""),
    (tensor(data=[3, True]), "Received: true"),
    (tensor(data=[3, None]), "Expected numbers for input 'x', FP32. Received: null"),
    (tensor(data=[3, 1e39]), "Expected numbers that fit FP32 for input 'x'. Received: 1e+39"),
    (tensor(data=[3, 10**400]), "Expected numbers that fit FP32 for input 'x'. Received: 1000"),
    (tensor(shape=[2, 2], data=[[1, 2], [3]]), "Expected lists of equal lengths for input 'x'"),
    (tensor(shape=[2, 2], data=[[1, 2], 3]), "Expected lists of equal lengths for input 'x'"),
    (tensor(shape=[3, 2], data=[[1, 2, 3], [4, 5, 6]]), "lists of the sizes [2, 3]"),
    (tensor(shape=[4], data=[[1, 2], [3, 4]]), "lists of the sizes [2, 2]"),
    (tensor(shape=[2, 2], data=[[[1, 2], [3, 4]]]), "lists of the sizes [1, 2, 2]"),
    (typed("INT8", [2], [1, 128]), "Expected integers from -128 to 127 for input 'INT8', INT8."),
    (typed("UINT64", [1], [-1]), "Received: -1"),
    (typed("INT32", [1], [1.0]), "Expected integers for input 'INT32', INT32. Received: 1"),
    (typed("BOOL", [1], [1]), "Expected true or false for input 'BOOL', BOOL. Received: 1"),
    (typed("BYTES", [1], [1]), "Expected strings for input 'BYTES', BYTES. Received: 1"),
    (typed("FP16", [1], [65536]), "Expected numbers that fit FP16 for input 'FP16'."),
    (
        tensor(data=None, parameters={"shared_memory_region": "r"}),
        "Expected input 'x' without the parameter shared_memory_region, which is not supported.",
    ),
    (
        {**tensor(), "outputs": [{"name": "y", "parameters": {"classification": 3}}]},
        "Expected output 'y' without the parameter classification, which is not supported.",
    ),
]


@pytest.mark.parametrize(("document", "text"), WRONG)
def test_wrong_requests(echo_server, document, text):
    status, answer = infer(echo_server, document)
    assert status == 400
    assert text in answer["error"]
    assert infer(echo_server, tensor())[0] == 200


def binary(size, **changes):
    return tensor(data=None, parameters={"binary_data_size": size}, **changes)


def binary_of(datatype, shape, size):
    document = binary(size, name=datatype, datatype=datatype, shape=shape)
    return {**document, "parameters": {"signature_name": datatype}}


@pytest.mark.parametrize(
    ("document", "data", "text"),
    [
        (binary(8), b"1234567", "to be an integer from 0 to 7, the bytes that are left behind"),
        (binary(-1), b"1", "Received: -1"),
        (binary("8"), b"12345678", 'Received: "8"'),
        (binary(8.0), b"12345678", "Received: 8"),
        (binary(2**63), b"12345678", "Received: 9223372036854775808"),
        (binary(8), b"123456789", "bytes: "),
        (tensor(), b"12345678", "of JSON and those of the binary inputs."),
        (binary(7), b"1234567", "Expected 8 bytes for input 'x', FP32[2]. Received: 7 bytes"),
        (tensor(parameters={"binary_data_size": 8}), b"12345678", "Received: both"),
        (binary(8, shape=[2**61, 2**61]), b"12345678", "Received: 8 bytes"),
        (binary(8, shape=[0]), b"12345678", "Expected 0 bytes for input 'x', FP32[0]."),
        (binary_of("BOOL", [2], 2), b"\0\2", "Expected bytes 0 and 1 for input 'BOOL'"),
        (binary_of("BYTES", [1], 3), b"\0\0\0", "Expected 1 strings for input 'BYTES', BYTES"),
        (binary_of("BYTES", [1], 5), b"\2\0\0\0a", "Received: 5 bytes"),
        (binary_of("BYTES", [1], 5), b"\0\0\0\0a", "Received: 5 bytes"),
        (binary_of("BYTES", [2], 9), b"\5\0\0\0abcde", "Received: 9 bytes"),
        (binary_of("BYTES", [2**40], 4), b"\0\0\0\0", "Received: 4 bytes"),
        (binary_of("BYTES", [1], 5), b"\xff\xff\xff\xffa", "Received: 5 bytes"),
    ],
)
def test_wrong_binary_data(echo_server, document, data, text):
    status, answer = infer(echo_server, document, data)
    assert status == 400
    assert text in answer["error"]


@pytest.mark.parametrize("length", ["-1", "a", "", "1e2", "100000", "9" * 30, "\u0663"])
def test_wrong_length_of_the_json(echo_server, length):
    headers = {"Inference_Header_Content_Length": length.encode("utf-8")}
    status, answer = infer(echo_server, tensor(), **headers)
    assert status == 400
    assert answer["error"].startswith("Expected Inference-Header-Content-Length to be a number")


@pytest.mark.parametrize(
    ("encoding", "body", "status", "text"),
    [
        ("gzip", b"no", 400, "Expected a body that is compressed with gzip."),
        ("deflate", b"no", 400, "Expected a body that is compressed with deflate."),
        ("br", b"no", 400, "Expected Content-Encoding to be gzip, deflate or identity."),
        (
            "gzip",
            gzip.compress(b"{}", mtime=0)[:-9],
            400,
            "Expected a whole body that is compressed",
        ),
        ("gzip", gzip.compress(b"[" * 2_000_000, mtime=0), 429, "--rest_api_max_unzipped_values"),
        (
            "gzip",
            gzip.compress(bytes(100 << 20) + b"1", mtime=0),
            429,
            "bytes in a compressed body.",
        ),
    ],
)
def test_wrong_compression(echo_server, encoding, body, status, text):
    received, answer = infer(echo_server, body, Content_Encoding=encoding)
    assert received == status
    assert text in answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/v2/nothing", 404, "Expected a path of the Open Inference Protocol: /v2,"),
        ("GET", "/v2/models", 404, "Received: /v2/models"),
        ("GET", "/v2/models/echo/config", 404, "Received: /v2/models/echo/config"),
        ("POST", "/v2/repository/index", 404, "Received: /v2/repository/index"),
        ("GET", INFER, 400, f"Expected the method POST for {INFER}. Received: GET"),
        ("POST", "/v2/models/nothing/infer", 404, "Latest(nothing)"),
        ("POST", "/v2/models/nothing/versions/x/infer", 400, "Received: version=x"),
        ("POST", "/v2/health/live", 400, "Expected the method GET"),
        ("GET", "/v2/models/nothing", 404, "Latest(nothing)"),
        ("GET", "/v2/models/echo/versions/7", 404, "Specific(echo, 7)"),
        ("GET", "/v2/models/echo/versions/x", 400, "Received: version=x"),
        ("GET", f"/v2/models/echo/versions/{2**63}", 400, f"Received: version={2**63}"),
        ("GET", "/v2/models/echo/versions/x/ready", 400, "Received: version=x"),
        ("GET", "/v2/models/echo?signature_name=none", 400, "Received: none"),
        ("GET", "/v2/models/nothing/ready", 404, "Latest(nothing)"),
    ],
)
def test_wrong_paths(echo_server, method, path, status, text):
    received, body, headers = ask(echo_server, method, path)
    assert (received, headers["content-type"]) == (status, "application/json")
    assert text in json.loads(body)["error"]


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("/v2/health/live", 200, {"live": True}),
        ("/v2/health/ready", 200, {"live": True, "ready": True}),
        ("/v2/models/echo/ready", 200, {"name": "echo", "ready": True}),
        ("/v2/models/echo/versions/3/ready", 200, {"name": "echo", "ready": True}),
        ("/v2/models/echo/versions/7/ready", 400, {"name": "echo", "ready": False}),
    ],
)
def test_health(echo_server, path, status, expected):
    received, body, _ = ask(echo_server, "GET", path)
    assert (received, json.loads(body)) == (status, expected)


def test_head(echo_server):
    assert ask(echo_server, "HEAD", "/v2/health/live")[:2] == (200, b"")


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2?a=1"])
def test_server_metadata(echo_server, path):
    status, body, _ = ask(echo_server, "GET", path)
    assert (status, json.loads(body)["name"]) == (200, "keras_attention_serving")


def test_list_of_models(echo_server):
    status, body, _ = ask(echo_server, "GET", "/v1/models")
    assert (status, json.loads(body)) == (200, {"models": ["echo"]})
