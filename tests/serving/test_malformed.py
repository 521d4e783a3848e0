"""Ten thousand damaged requests: the server neither crashes nor hangs nor shows its inside."""

import random
import re
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from keras_attention_serving.server import Server
from keras_attention_serving.settings.options import Options

REQUESTS = 10_000
SECONDS = 5
PREDICTION = "/tensorflow.serving.PredictionService/"
MODEL = "/tensorflow.serving.ModelService/"
INSIDE = re.compile(r"Traceback|\.py\b|site-packages|Error:|object at 0x|Internal error;")


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "batching"])
def channel(request, base_path, example_base_path, tmp_path_factory):
    file = tmp_path_factory.mktemp("batching") / "parameters"
    file.write_text(
        "max_batch_size { value: 13 } batch_timeout_micros { value: 500 } "
        "pad_variable_length_inputs: true"
    )
    settings = Options(
        enable_batching=request.param, batching_parameters_file=str(file) if request.param else ""
    )
    models = {"model": base_path, "examples": example_base_path}
    with Server(models, port=0, host="127.0.0.1", settings=settings) as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield channel


def sound_requests():
    """Requests that are well answered, by method."""
    predict = predict_pb2.PredictRequest()
    predict.model_spec.name = "model"
    predict.inputs["x"].CopyFrom(tf.make_tensor_proto(np.ones((2, 3), np.float32)))
    typed = predict_pb2.PredictRequest()
    typed.CopyFrom(predict)
    typed.inputs["x"].tensor_content = b""
    typed.inputs["x"].float_val.extend([2, 3, 5, 7, 11, 13])
    text = predict_pb2.PredictRequest()
    text.model_spec.name = "model"
    text.model_spec.signature_name = "tokenize"
    text.inputs["text"].CopyFrom(tf.make_tensor_proto(["one two", "three"]))
    classify = classification_pb2.ClassificationRequest()
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(2)
    regress = regression_pb2.RegressionRequest()
    regress.model_spec.signature_name = "regress"
    multi = inference_pb2.MultiInferenceRequest()
    task = multi.tasks.add(method_name="tensorflow/serving/regress")
    task.model_spec.name, task.model_spec.signature_name = "examples", "regress"
    for message in (classify, regress, multi):
        message.input.example_list.examples.append(example)
        if message is not multi:
            message.model_spec.name = "examples"
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "model"
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "model"
    reload = model_management_pb2.ReloadConfigRequest()
    reload.config.custom_model_config.type_url = "x"
    return [
        (PREDICTION + "Predict", predict),
        (PREDICTION + "Predict", typed),
        (PREDICTION + "Predict", text),
        (PREDICTION + "Classify", classify),
        (PREDICTION + "Regress", regress),
        (PREDICTION + "MultiInference", multi),
        (PREDICTION + "GetModelMetadata", metadata),
        (MODEL + "GetModelStatus", status),
        (MODEL + "HandleReloadConfigRequest", reload),
    ]


def damaged(chance, data):
    """A copy with some bits turned, and sometimes cut short, repeated or grown."""
    result = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        position = chance.randrange(len(result) * 8)
        result[position // 8] ^= 1 << position % 8
    kind = chance.random()
    if kind < 0.1:
        del result[chance.randrange(len(result)) :]
    elif kind < 0.2:
        result += result[chance.randrange(len(result)) :]
    elif kind < 0.3:
        at = chance.randrange(len(result))
        result[at:at] = chance.randbytes(chance.choice((1, 3, 7)))
    return bytes(result)


def test_damaged_requests(channel):
    chance = random.Random(7)
    sound = [
        (channel.unary_unary(path), message.SerializeToString())
        for path, message in sound_requests()
    ]
    end = time.monotonic() + SECONDS
    codes = set()
    for _ in range(REQUESTS // 20):
        chosen = [chance.choice(sound) for _ in range(20)]
        calls = [method.future(damaged(chance, data), timeout=20) for method, data in chosen]
        for call in calls:
            codes.add(call.code().name)
            assert not INSIDE.search(call.details() or ""), call.details()
        if time.monotonic() > end:
            break
    assert "DEADLINE_EXCEEDED" not in codes
    assert {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "INTERNAL"} <= codes
    for method, data in sound[:-1]:
        method(data, timeout=20)
