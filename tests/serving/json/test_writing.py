"""JSON requests and answers: what is written."""

import json
import math

import numpy as np
import pytest

from keras_attention_serving import errors
from keras_attention_serving.protocol import tensors, wire
from keras_attention_serving.rest import json_encode
from tests.serving.json.messages import DTYPES, written


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
