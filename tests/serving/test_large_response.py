"""Large answers are the same messages, written in parts."""

import ml_dtypes
import numpy as np
import pytest

from keras_attention_serving.inference.large_response import LargeResponse
from keras_attention_serving.protocol import tensors, wire
from keras_attention_serving.rest import json_encode, json_pieces

NUMBERS = np.arange(2 * 3 * 17).reshape(2, 3, 17) - 5
ARRAYS = [
    *(NUMBERS.astype(dtype) for dtype in ("f4", "f8", "f2", "i4", "i8", "i1", "u2", "c8", "c16")),
    *(NUMBERS.clip(0).astype(dtype) for dtype in ("u4", "u8", "?", ">f4")),
    *(NUMBERS.astype(getattr(ml_dtypes, d)) for d in ("bfloat16", "float8_e5m2", "int4")),
    np.array([b"", b"\x00a\x00", "\u00fc".encode() * 101] * 7, object),
    np.float32(3),
    np.zeros((3, 0), np.float32),
    np.zeros((0,), object),
    NUMBERS.astype("f4").transpose(),
]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(tensors, "_CHUNK", 11)
    monkeypatch.setattr(json_pieces, "PART", 11)


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: array.dtype.name)
def test_tensors(array, typed):
    array = np.asarray(array)
    proto = wire.TensorProto.FromString(b"".join(tensors.to_pieces(array, typed)))
    assert proto == tensors.to_proto(array, typed)


def test_responses():
    response = wire.PredictResponse()
    response.model_spec.name, response.model_spec.version.value = "model", 7
    outputs = {"y" * 131: NUMBERS.astype(np.float32), "text": ARRAYS[-5]}
    data = LargeResponse(response, outputs, typed=True).SerializeToString()
    for name, array in outputs.items():
        response.outputs[name].CopyFrom(tensors.to_proto(array, typed=True))
    assert wire.PredictResponse.FromString(data) == response


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("shape", [(102,), (51, 2), (2, 51), (1, 102), (3, 2, 17), (2, 0)])
@pytest.mark.parametrize("dtype", ["f4", "i8", "?", "O"])
def test_json(shape, rows, dtype, monkeypatch):
    array = (np.arange(102)[: int(np.prod(shape))] / 7).astype(np.float32).reshape(shape)
    array = array.astype(dtype) if dtype != "O" else np.full(shape, b"text", object)
    for outputs in ({"y": array}, {"y": array, "z": -array if dtype in ("f4", "i8") else array}):
        found = json_encode.predictions(outputs, rows)
        protos = {name: tensors.to_proto(value, typed=True) for name, value in outputs.items()}
        with monkeypatch.context() as context:
            context.setattr(json_pieces, "PART", 1000)
            assert found == json_encode.predictions(protos, rows)
