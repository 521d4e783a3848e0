"""JSON requests and answers: what is read, what is written, and in which words errors are told."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework import tensor_pb2

from keras_attention_serving import errors, json_decode, json_encode, json_text, tensors, wire

TensorInfo = wire.message("tensorflow.TensorInfo")
DTYPES = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64"]
DTYPES = [np.dtype(name) for name in [*DTYPES, "bool"]]


def infos(**dtypes):
    return {
        name: TensorInfo(dtype=tf.as_dtype(dtype).as_datatype_enum)
        for name, dtype in dtypes.items()
    }


def read(body, **dtypes):
    """The arrays in a predict body, and whether it was in row format."""
    request = wire.PredictRequest()
    if isinstance(body, str):
        body = body.encode()
    rows = json_decode.fill_predict(request, body, lambda: infos(**dtypes))
    official = {
        name: tf.make_ndarray(tensor_pb2.TensorProto.FromString(proto.SerializeToString()))
        for name, proto in request.inputs.items()
    }
    return official, rows


def complaint(body, **dtypes):
    with pytest.raises(errors.InvalidArgument) as caught:
        read(body, **dtypes)
    return caught.value.message


def written(rows=True, **arrays):
    protos = {name: tensors.to_proto(np.asarray(array)) for name, array in arrays.items()}
    return json_encode.predictions(protos, rows).decode()


# Reading.


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


# Writing.


def test_rows_of_one_output():
    assert written(y=np.float32([2.5, 3, 5])) == '{\n    "predictions": [2.5, 3.0, 5.0\n    ]\n}'
    assert written(y=[[2, 3], [5, 7]]) == '{\n    "predictions": [[2, 3], [5, 7]\n    ]\n}'
    assert written(y=np.zeros((0, 3))) == '{\n    "predictions": []\n}'
    assert written(y=np.zeros((2, 0))) == '{\n    "predictions": [[], []\n    ]\n}'
    assert written(y=np.array(["a", "b"])) == '{\n    "predictions": ["a", "b"\n    ]\n}'


def test_rows_of_two_outputs():
    assert written(b=np.array([True, False]), a=[[2, 3], [5, 7]]) == (
        '{\n    "predictions": [\n'
        '        {\n            "a": [2, 3],\n            "b": true\n        },\n'
        '        {\n            "a": [5, 7],\n            "b": false\n        }\n'
        "    ]\n}"
    )


def test_columns_of_one_output():
    assert written(rows=False, y=np.float64(0.1)) == '{\n    "outputs": 0.1\n}'
    assert written(rows=False, y=[[2, 3], [5, 7]]) == (
        '{\n    "outputs": [\n        [\n            2,\n            3\n        ],\n'
        "        [\n            5,\n            7\n        ]\n    ]\n}"
    )


def test_columns_of_two_outputs():
    assert written(rows=False, b=[2], a=np.float32(3)) == (
        '{\n    "outputs": {\n        "a": 3.0,\n        "b": [\n            2\n        ]\n    }\n}'
    )


def test_bytes_and_text():
    strings = np.array([b"\xff\x00", b"a"], object)
    assert written(y_bytes=strings) == (
        '{\n    "predictions": [{\n            "b64": "/wA="\n        }, {\n'
        '            "b64": "YQ=="\n        }\n    ]\n}'
    )
    assert json.loads(written(rows=False, y_bytes=strings[:, None])) == {
        "outputs": [[{"b64": "/wA="}], [{"b64": "YQ=="}]]
    }
    proto = tensors.to_proto(np.array([b'\xff"\\\n\x1f\x7f/', "\u00fc".encode()], object))
    assert json_encode.predictions({"y": proto}, True) == (
        b'{\n    "predictions": ["\xff\\"\\\\\\n\\u001F\x7f/", "\xc3\xbc"\n    ]\n}'
    )


@pytest.mark.parametrize(
    ("value", "single", "double"),
    [
        (0.1, "0.1", "0.1"),
        (1 / 3, "0.333333343", "0.33333333333333331"),
        (-0.0, "-0.0", "-0.0"),
        (100000.0, "100000.0", "100000.0"),
        (1e6, "1e+06", "1e+06"),
        (9000000.0, "9e+06", "9e+06"),
        (1234567.0, "1234567.0", "1234567.0"),
        (16777215.0, "16777215.0", "16777215.0"),
        (0.00003, "3e-05", "3e-05"),
        (1e-45, "1.4013e-45", "1e-45"),
        (3.4028234663852886e38, "3.40282347e+38", "3.4028234663852886e+38"),
        (math.nan, "NaN", "NaN"),
        (math.inf, "Infinity", "Infinity"),
        (-math.inf, "-Infinity", "-Infinity"),
    ],
)
def test_decimals(value, single, double):
    assert json_encode.decimals(np.array([value], np.float32)) == [single]
    assert json_encode.decimals(np.array([value], np.float64)) == [double]


def test_integers_to_their_ends():
    for dtype in DTYPES[2:-1]:
        ends = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)
        assert json.loads(written(y=ends)) == {"predictions": ends.tolist()}


def test_outputs_that_do_not_go_together():
    for arrays, text in [
        ({"a": np.float32(1)}, "Tensor name: a has no shape information "),
        (
            {"a": [1, 2], "b": [1, 2, 3]},
            "Tensor name: b has inconsistent batch size: 3 expecting: 2",
        ),
        ({}, "Cannot convert empty tensor map to JSON"),
    ]:
        with pytest.raises(errors.InvalidArgument) as caught:
            written(**arrays)
        assert caught.value.message == text


def test_classifications_and_regressions():
    result = wire.message("tensorflow.serving.ClassificationResult")()
    for i in range(2):
        classes = result.classifications.add().classes
        classes.add(label=f'"{i}', score=0.1)
        classes.add(label="x", score=3)
    assert json_encode.classifications(result).decode() == (
        '{\n    "results": [[["\\"0", 0.1], ["x", 3.0]], [["\\"1", 0.1], ["x", 3.0]]\n    ]\n}'
    )
    result = wire.message("tensorflow.serving.RegressionResult")()
    result.regressions.add(value=0.1)
    result.regressions.add(value=2)
    assert json_encode.regressions(result).decode() == '{\n    "results": [0.1, 2.0]\n}'


def test_empty_results():
    for encode, name in [
        (json_encode.classifications, "Classification"),
        (json_encode.regressions, "Regression"),
    ]:
        with pytest.raises(errors.InvalidArgument, match=f"empty {name}Results"):
            encode(wire.message(f"tensorflow.serving.{name}Result")())


# Properties.


@given(st.floats(width=32) | st.integers(-(2**24), 2**24).map(float))
def test_any_float_is_the_same_number_again(value):
    (text,) = json_encode.decimals(np.array([value], np.float32))
    again = np.float32(json.loads(text))
    assert again.tobytes() == np.float32(value).tobytes() or math.isnan(value)
    assert "." in text or "e" in text or not math.isfinite(value)


@given(st.floats())
def test_any_double_is_the_same_number_again(value):
    (text,) = json_encode.decimals(np.array([value]))
    assert np.float64(json.loads(text)).tobytes() == np.float64(value).tobytes() or (
        math.isnan(value)
    )


LARGEST = np.finfo(np.float32).max
# Nine digits of the largest float32 are above it: see test_largest_float_is_not_read_back.
ARRAYS = (
    st.sampled_from(DTYPES)
    .flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)))
    .filter(lambda array: array.dtype != np.float32 or not np.any(np.abs(array) == LARGEST))
)
STRINGS = hnp.arrays(
    object,
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0),
    elements=st.binary(),
    fill=st.nothing(),
)


@given(ARRAYS)
@settings(max_examples=200, deadline=None)
def test_any_array_there_and_back(array):
    text = json.loads(written(rows=False, x=array))["outputs"]
    body = json.dumps({"inputs": text})
    inputs, _ = read(body, x=array.dtype)
    expected = tf.make_ndarray(tf.make_tensor_proto(array))
    if 0 in array.shape:  # nothing tells the sizes behind a zero
        assert inputs["x"].size == 0
    else:
        np.testing.assert_array_equal(inputs["x"], expected, strict=True)


@pytest.mark.parametrize("value", [LARGEST, -LARGEST])
def test_largest_float_is_not_read_back(value):
    """As in TensorFlow Serving, which writes nine digits and takes nothing beyond the range."""
    body = written(rows=False, x=np.array([value])).replace('"outputs":', '"inputs":')
    with pytest.raises(errors.InvalidArgument, match="without loss of precision"):
        read(body, x="float32")
    inputs, _ = read(body.replace("47e+38", "46e+38"), x="float32")
    assert inputs["x"] == [value]


@given(STRINGS, st.booleans())
@settings(max_examples=100, deadline=None)
def test_any_strings_there_and_back(array, as_bytes):
    name = "x_bytes" if as_bytes else "x"
    proto = tensors.to_proto(array)
    answer = json_encode.predictions({name: proto}, False)
    inputs, _ = read(answer.replace(b'"outputs":', b'"inputs":', 1), x="string")
    if array.size:
        assert inputs["x"].tolist() == tf.make_ndarray(tf.make_tensor_proto(array)).tolist()
        assert inputs["x"].shape == array.shape


@given(ARRAYS.filter(lambda array: array.ndim and array.size))
@settings(max_examples=100, deadline=None)
def test_rows_and_columns_say_the_same(array):
    rows = json.loads(written(x=array, y=array[:, None]))["predictions"]
    columns = json.loads(written(rows=False, x=array, y=array[:, None]))["outputs"]
    assert repr([row["x"] for row in rows]) == repr(columns["x"])
    assert repr([row["y"] for row in rows]) == repr(columns["y"])
    inputs, _ = read(json.dumps({"instances": rows}), x=array.dtype, y=array.dtype)
    np.testing.assert_array_equal(inputs["x"], array, strict=True)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["x", "b64", "y"]), inner, max_size=2)
    ),
    max_leaves=11,
)


@given(VALUES, st.sampled_from([*DTYPES, np.dtype("O")]), st.sampled_from(["inputs", "instances"]))
@settings(max_examples=500, deadline=None)
def test_both_ways_of_reading_agree(value, dtype, key):
    """Whatever is read at once would be read the same value by value."""
    dtype = tf.string if dtype.kind == "O" else dtype
    body = json.dumps({key: value}).encode()

    def attempt():
        try:
            array = read(body, x=dtype)[0]["x"]
            return array.dtype, array.shape, repr(array.tolist())
        except errors.ServingError as error:
            return error.message

    first = attempt()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_decode.json_values, "all_at_once", lambda value, dtype: None)
        second = attempt()
    assert first == second


@given(st.binary(max_size=64))
@example(b"0\x00\x80")
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_document_or_an_error(data):
    for body in (data, b'{"inputs": ' + data, b'{"inputs": ["' + data + b'"]}'):
        try:
            read(body, x="string")
        except errors.ServingError as error:
            error.message.encode()
