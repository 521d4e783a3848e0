"""JSON requests and answers: what is read, and in which words errors are told."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf

from keras_attention_serving import errors
from keras_attention_serving.protocol import wire
from keras_attention_serving.rest import json_decode, json_text
from tests.serving.json.messages import complaint, infos, read, written


@pytest.mark.parametrize(
    ("text", "dtype", "expected"),
    [
        ("1.5", "float32", 1.5),
        ("[1, 2.5, -0.0]", "float32", [1, 2.5, -0.0]),
        ("[[1, 2, 3], [5, 7, 11]]", "float64", [[1, 2, 3], [5, 7, 11]]),
        (
            "[NaN, Infinity, -Infinity, Inf, -Inf]",
            "float32",
            [math.nan, *[math.inf, -math.inf] * 2],
        ),
        ("[16777215, -16777215]", "float32", [16777215, -16777215]),
        ("[1e-50]", "float32", [0]),
        ("[18446744073709551616]", "float64", [2.0**64]),
        ("[-128, 127, 300]", "int8", [-128, 127, 44]),
        ("[2147483647, -2147483648]", "int32", [2147483647, -2147483648]),
        ("[9223372036854775807]", "int64", [9223372036854775807]),
        ("[4294967295]", "uint32", [4294967295]),
        ("[18446744073709551615]", "uint64", [18446744073709551615]),
        ("[true, false]", "bool", [True, False]),
        ("[]", "float32", []),
        ("[[], []]", "int32", [[], []]),
        ("[[[]]]", "string", [[[]]]),
    ],
)
def test_values(text, dtype, expected):
    inputs, rows = read(f'{{"inputs": {text}}}', x=dtype)
    assert not rows
    with np.errstate(over="ignore"):
        expected = np.array(expected, object if dtype == "string" else dtype)
    np.testing.assert_array_equal(inputs["x"], expected)
    assert inputs["x"].dtype == expected.dtype
    assert inputs["x"].tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rb'"a\u00fc\ud83d\ude00"', "a\u00fc\U0001f600".encode()),
        ('"\u00fc"'.encode(), b"\xc3\xbc"),
        (rb'"\u0000\n\"\\\/"', b'\x00\n"\\/'),
        (b'"\xff\xfe ok"', b"\xff\xfe ok"),
        (b'{"b64": "AP+A"}', b"\x00\xff\x80"),
        (b'{"b64": "YQ=="}', b"a"),
        (b'{"b64": "YQ"}', b"a"),
        (b'{"b64": " Y Q =\\n= "}', b"a"),
        (b'{"b64": ""}', b""),
    ],
)
def test_strings(text, expected):
    inputs, _ = read(b'{"inputs": [' + text + b', "x"]}', s="string")
    assert inputs["s"].tolist() == [expected, b"x"]


def test_rows():
    assert read('{"instances": [2, 3]}', x="float32")[1]
    inputs, rows = read('{"instances": [[2, 3], [5, 7], [11, 13]]}', x="int32")
    assert rows
    assert inputs["x"].tolist() == [[2, 3], [5, 7], [11, 13]]
    inputs, _ = read('{"instances": [{"x": [2, 3]}, {"x": [5, 7]}]}', x="int32")
    assert inputs["x"].tolist() == [[2, 3], [5, 7]]
    inputs, _ = read(
        '{"instances": [{"a": 2, "b": ["x", "y"]}, {"b": ["z", {"b64": "YQ=="}], "a": 3}]}',
        **{"a": "int64", "b": "string"},
    )
    assert inputs["a"].tolist() == [2, 3]
    assert inputs["b"].tolist() == [[b"x", b"y"], [b"z", b"a"]]
    inputs, _ = read('{"instances": [{"b64": "YQ=="}, "b"]}', s="string")
    assert inputs["s"].tolist() == [b"a", b"b"]


def test_columns():
    inputs, rows = read('{"inputs": {"a": [2, 3], "b": 5, "other": 7}}', a="int32", b="float32")
    assert not rows
    assert inputs["a"].tolist() == [2, 3]
    assert inputs["b"] == 5
    assert read('{"inputs": {"b64": "YQ=="}}', s="string")[0]["s"] == b"a"


def test_signature_name():
    request = wire.PredictRequest()
    asked = []

    def lookup():
        asked.append(request.model_spec.signature_name)
        return infos(x="float32")

    json_decode.fill_predict(request, b'{"signature_name": "twice", "instances": [2]}', lookup)
    assert asked == ["twice"]


def test_what_follows_the_document_is_ignored():
    for rest in (" and more", "]", '{"inputs": 7}', "\x00\xff"):
        assert read('{"inputs": [5]}' + rest, x="int32")[0]["x"].tolist() == [5]
    assert read(b'{"inputs": ["\xc3\xbc"]}\xff\xff', s="string")[0]["s"].tolist() == [b"\xc3\xbc"]
    assert read(b'\xef\xbb\xbf{"inputs": [5]}', x="int32")[0]["x"].tolist() == [5]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "The document is empty"),
        ("  ", "The document is empty. at offset: 2"),
        ("{", "Missing a name for object member. at offset: 1"),
        ('{"instances": [1,]}', "Invalid value. at offset: 17"),
        ('{"instances": [1 2]}', "Missing a comma or ']' after an array element. at offset: 17"),
        ('{"instances" [1]}', "Missing a colon after a name of object member. at offset: 13"),
        ('{"instances": [1]', "Missing a comma or '}' after an object member. at offset: 17"),
        ('{"\u00fc": nan}', "Invalid value. at offset: 8"),
        (b'{"\xff": nan}', "Invalid value. at offset: 7"),
        ('{"a": 1e999}', "Number too big to be stored in double. at offset: 6"),
        ('{"a": "\\ud800"}', "The surrogate pair in string is invalid. at offset: 7"),
        ('{"a": "\\x"}', "Invalid escape character in string. at offset: 7"),
        ('{"a": "', "Missing a closing quotation mark in string. at offset: 7"),
        ("{'a': 1}", "Missing a name for object member. at offset: 1"),
    ],
)
def test_parse_errors(body, reason):
    assert complaint(body, x="float32") == f"JSON Parse error: {reason}"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"inputs": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"inputs": ' + b"9" * 100_000 + b"}",
        b'{"inputs": -' + b"9" * 5000 + b"}",
    ],
    ids=["open", "lists", "objects", "digits", "negative"],
)
def test_monsters(body):
    assert complaint(body, x="float32").startswith("JSON Parse error: ")


@pytest.mark.parametrize(
    ("body", "dtypes", "text"),
    [
        ("[1]", {}, "JSON Value: [\n    1\n] Is not object"),
        ("5", {}, "JSON Value: 5 Is not object"),
        (
            '{"signature_name": 5}',
            {},
            'JSON Value: {\n    "signature_name": 5\n} not formatted correctly. '
            "'signature_name' key must be a string value.",
        ),
        ("{}", {}, "Missing 'inputs' or 'instances' key"),
        ('{"instances": [1]}', None, "Failed to get input map for signature: DEFAULT"),
        (
            '{"inputs": 1, "instances": [1]}',
            {},
            'JSON Value: {\n    "inputs": 1,\n    "instances": [\n        1\n    ]\n} '
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        ),
        (
            '{"instances": 1}',
            {},
            "JSON Value: {\n    \"instances\": 1\n} Excepting 'instances' to be an list/array",
        ),
        (
            '{"instances": []}',
            {},
            "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array",
        ),
        (
            '{"inputs": {"a": 1}}',
            {"a": "int32", "b": "int32"},
            "Missing named input: b in 'inputs' object.",
        ),
        (
            '{"inputs": [1]}',
            {"a": "int32", "b": "int32"},
            "inputs is a plain value/list, but expecting an object as multiple input tensors "
            "required as per tensorinfo_map",
        ),
        (
            '{"instances": [1]}',
            {"a": "int32", "b": "int32"},
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map",
        ),
        ('{"inputs": null}', {}, "JSON Value: null Type: Null is not of expected type: float"),
        ('{"inputs": ["a"]}', {}, 'JSON Value: "a" Type: String is not of expected type: float'),
        ('{"inputs": true}', {}, "JSON Value: true Type: True is not of expected type: float"),
        ('{"inputs": [1.5]}', {"x": "int32"}, "1.5 Type: Number is not of expected type: int32"),
        ('{"inputs": 2147483648}', {"x": "int16"}, "2147483648 Type: Number is not of"),
        ('{"inputs": -1}', {"x": "uint64"}, "-1 Type: Number is not of expected type: uint64"),
        ('{"inputs": 1}', {"x": "bool"}, "1 Type: Number is not of expected type: bool"),
        ('{"inputs": 1}', {"x": "string"}, "1 Type: Number is not of expected type: string"),
        (
            '{"inputs": [{"a": 1}]}',
            {},
            'JSON Value: {\n    "a": 1\n} Type: Object is not of expected type: float',
        ),
        (
            '{"inputs": 16777217}',
            {},
            "Cannot convert JSON value: 16777217 to float without loss of precision.",
        ),
        (
            '{"inputs": [9007199254740992]}',
            {"x": "float64"},
            "Cannot convert JSON value: 9007199254740992 to double without loss of precision.",
        ),
        ('{"inputs": 1e39}', {}, "Cannot convert JSON value: 1e+39 to float without loss of"),
        (
            '{"inputs": [[1, 2], [3]]}',
            {},
            "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
        ),
        ('{"inputs": [1, [2]]}', {}, "Encountered list at unexpected level: 1 expected < 1"),
        (
            '{"inputs": [[1], 2]}',
            {},
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        ('{"inputs": {"b64": "a-_b"}}', {"x": "string"}, "Unable to base64 decode"),
        ('{"inputs": {"b64": "YQ="}}', {"x": "string"}, "Unable to base64 decode"),
        ('{"inputs": {"b64": "\u00fc"}}', {"x": "string"}, "Unable to base64 decode"),
        (
            '{"inputs": [{"b64": 1}]}',
            {"x": "string"},
            'JSON Value: {\n    "b64": 1\n} not formatted correctly for base64 data',
        ),
        (
            '{"instances": [[1, 2], [3]]}',
            {},
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
            "Expecting tensor size: 2 but got: 1",
        ),
        (
            '{"instances": [[[1, 2]], [[1], [2]]]}',
            {},
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
            "Expecting shape [1,2] but got: [2,1]",
        ),
        (
            '{"instances": [1, "a"]}',
            {},
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
            'JSON Value: "a" Type: String is not of expected type: float',
        ),
        (
            '{"instances": [{"x": 1}, {"y": 2}]}',
            {},
            "Failed to process element: 1 key: y of 'instances' list. Error: INVALID_ARGUMENT: "
            "JSON object: does not have named input: y",
        ),
        (
            '{"instances": [{"a": 1}]}',
            {"a": "int32", "b": "int32"},
            "Failed to process element: 0 of 'instances' list. JSON object: {\n    \"a\": 1\n} "
            "keys must be equal to: a,b",
        ),
        (
            '{"instances": [{"x": 1}, 2]}',
            {},
            "Expecting object but got list at item 1 of input list",
        ),
        (
            '{"instances": [1, {"x": 2}]}',
            {},
            "Expecting value/list but got object at item 1 of input list",
        ),
    ],
)
def test_complaints(body, dtypes, text):
    dtypes = {} if dtypes is None else dtypes or {"x": "float32"}
    assert text in complaint(body, **dtypes)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "uint16", "complex64"])
def test_dtypes_without_json(dtype):
    with pytest.raises(errors.Unimplemented) as caught:
        read('{"inputs": [1]}', x=dtype)
    assert caught.value.message == f"Conversion of JSON Value: 1 to type: {name_of(dtype)}"
    with pytest.raises(errors.InvalidArgument) as caught:
        written(x=np.zeros(2, tf.as_dtype(dtype).as_numpy_dtype))
    assert caught.value.message == (f"Failed to write JSON value for tensor type: {name_of(dtype)}")


def name_of(dtype):
    return {"float16": "half"}.get(dtype, dtype)


def test_values_in_messages_are_cut():
    body = json.dumps({"inputs": {"b64": 5, "text": "\u00fc" * 1000}}, ensure_ascii=False)
    text = complaint(f'{{"inputs": [{body}]}}', x="string")
    value = text.removeprefix("JSON Value: ").removesuffix(
        " not formatted correctly for base64 data"
    )
    assert len(value.encode()) in (255, 256)
    assert value.startswith('{\n    "inputs": {\n        "b64": 5,\n        "text": "\u00fc\u00fc')


def test_a_message_about_a_large_value_is_quick():
    value = [0.5] * 3_000_000
    assert len(json_text.debug(value)) == 256


# Examples.


def read_examples(body):
    request = wire.message("tensorflow.serving.ClassificationRequest")()
    json_decode.fill_examples(request, body.encode())
    return request


def features(example):
    return {
        name: (kind := feature.WhichOneof("kind"), kind and list(getattr(feature, kind).value))
        for name, feature in example.features.feature.items()
    }


def test_examples():
    request = read_examples(
        '{"signature_name": "s", "context": {"c": 1.5}, "examples": [{"i": 2, "b": [true, false], '
        '"f": [0.5, NaN], "s": ["x", {"b64": "AP8="}], "none": []}, {}]}'
    )
    assert request.model_spec.signature_name == "s"
    examples = request.input.example_list_with_context
    assert features(examples.context) == {"c": ("float_list", [1.5])}
    first, second = examples.examples
    seen = features(first)
    assert math.isnan(seen.pop("f")[1][1])
    assert seen == {
        "i": ("int64_list", [2]),
        "b": ("int64_list", [1, 0]),
        "s": ("bytes_list", [b"x", b"\x00\xff"]),
        "none": (None, None),
    }
    assert features(second) == {}
    assert len(read_examples('{"examples": [{}, {}]}').input.example_list.examples) == 2


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("{}", "When method is classify, key 'examples' is expected and was not found"),
        ('{"examples": 1}', "Expecting 'examples' value to be an list/array"),
        ('{"examples": []}', "'examples' value is an empty array"),
        ('{"examples": [1]}', "Example must be JSON object but got JSON Number"),
        (
            '{"examples": [{"x": null}]}',
            "Feature: x has element with unexpected JSON type: Null",
        ),
        (
            '{"examples": [{"x": [[1]]}]}',
            "Feature: x has element with unexpected JSON type: Array",
        ),
        (
            '{"examples": [{"x": [{"a": 1}]}]}',
            "Feature: x has element with unexpected JSON type: Object",
        ),
        (
            '{"examples": [{"x": [1, 1.5]}]}',
            "Unexpected element type in feature: x expecting type: int64",
        ),
        (
            '{"examples": [{"x": ["a", true]}]}',
            "Unexpected element type in feature: x expecting type: bytes",
        ),
        (
            '{"examples": [{"x": 9223372036854775808}]}',
            "Feature: x has uint64 element. Only int64 is supported.",
        ),
        (
            '{"examples": [{"x": 1e39}]}',
            "Cannot convert JSON value: 1e+39 to float without loss of precision.",
        ),
    ],
)
def test_complaints_about_examples(body, text):
    with pytest.raises(errors.InvalidArgument) as caught:
        read_examples(body)
    assert text in caught.value.message
