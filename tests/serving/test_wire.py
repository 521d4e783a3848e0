"""Our message classes and the official ones read each other's bytes."""

import subprocess
import sys

import numpy as np
import pytest
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    prediction_log_pb2,
)

from keras_attention_serving.protocol import tensors, wire

DTYPES = [number for number in tensors._NUMPY if number != tensors.DT_STRING]


def fill_request(request, tensor_bytes):
    request.model_spec.name = "model"
    request.model_spec.signature_name = "serving_default"
    request.model_spec.version.value = 7
    request.inputs["x"].MergeFromString(tensor_bytes)
    request.output_filter.extend(["y", "z"])
    return request.SerializeToString(deterministic=True)


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("number", [*DTYPES, tensors.DT_STRING])
def test_predict_request_is_the_same_on_the_wire(number, typed):
    if number == tensors.DT_STRING:
        array = np.array([[b"a", b"", "\u00fc".encode()], [b"\0", b"bcd", b"e"]], object)
    else:
        array = np.array([[0, 1, 1], [1, 0, 1]]).astype(tensors.numpy_dtype(number))
    data = tensors.to_proto(array, typed).SerializeToString()
    ours = fill_request(wire.PredictRequest(), data)
    assert ours == fill_request(predict_pb2.PredictRequest(), data)


@pytest.mark.parametrize(
    ("ours", "official"),
    [
        (wire.PredictResponse, predict_pb2.PredictResponse),
        (wire.GetModelMetadataRequest, get_model_metadata_pb2.GetModelMetadataRequest),
        (wire.GetModelMetadataResponse, get_model_metadata_pb2.GetModelMetadataResponse),
        (wire.SignatureDefMap, get_model_metadata_pb2.SignatureDefMap),
        (wire.GetModelStatusRequest, get_model_status_pb2.GetModelStatusRequest),
        (wire.GetModelStatusResponse, get_model_status_pb2.GetModelStatusResponse),
        (wire.PredictionLog, prediction_log_pb2.PredictionLog),
    ],
)
def test_messages_have_the_official_fields(ours, official):
    def fields(message):
        return [(f.name, f.number, f.type) for f in message.DESCRIPTOR.fields]

    assert ours.DESCRIPTOR.full_name == official.DESCRIPTOR.full_name
    assert fields(ours) == fields(official)


def test_signature_defs_travel_inside_an_any():
    official = get_model_metadata_pb2.SignatureDefMap()
    official.signature_def["serving_default"].method_name = "tensorflow/serving/predict"
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.metadata["signature_def"].Pack(official)

    read = wire.GetModelMetadataResponse.FromString(response.SerializeToString())
    signatures = wire.SignatureDefMap()
    assert read.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["serving_default"].method_name == "tensorflow/serving/predict"
    assert signatures.SerializeToString() == official.SerializeToString()


def test_method_paths_are_those_of_the_official_descriptor():
    from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2

    paths = {
        f"/{service.full_name}/{method.name}"
        for file in (prediction_service_pb2.DESCRIPTOR, model_service_pb2.DESCRIPTOR)
        for service in file.services_by_name.values()
        for method in service.methods
    }
    assert {wire.PREDICT, wire.GET_MODEL_METADATA, wire.GET_MODEL_STATUS} <= paths


def test_tensorflow_may_be_imported_later():
    """This process has TensorFlow's messages first; here ours are."""
    program = """
from keras_attention_serving.protocol import wire
from tensorflow_serving.apis import predict_pb2
data = wire.PredictRequest(output_filter=["y"]).SerializeToString()
print(list(predict_pb2.PredictRequest.FromString(data).output_filter))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == "['y']\n"


def test_unknown_message():
    with pytest.raises(KeyError, match=r"tensorflow\.serving\.Nothing"):
        wire.message("tensorflow.serving.Nothing")
