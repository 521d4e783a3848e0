"""Warm-up requests beside a model, written with TensorFlow and the official messages."""

import logging
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from keras_attention_serving import errors, warmup
from keras_attention_serving.servable import load


def predict_log(signature="serving_default", **inputs):
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = "whatever"
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return log.SerializeToString()


GOOD = predict_log(x=np.ones((2, 3), np.float32))


@pytest.fixture
def folder(exports, tmp_path):
    shutil.copytree(exports[2], tmp_path / "7")
    return tmp_path / "7"


def write(folder, records):
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path


def test_requests_are_answered(saved_model, folder, caplog):
    write(folder, [GOOD, predict_log("tokenize", text=["a b"]), GOOD])
    with caplog.at_level(logging.INFO):
        assert warmup.replay(saved_model, folder) == 3
    assert "3 warm-up requests answered" in caplog.text


def test_none_is_fine(saved_model, folder):
    assert warmup.replay(saved_model, folder) == 0


@pytest.mark.parametrize(
    ("records", "error", "message"),
    [
        (
            [GOOD, predict_log("nothing")],
            errors.FailedPrecondition,
            'Serving signature key "nothing" not found.',
        ),
        ([b"\xff"], errors.InvalidArgument, "Failed to parse warmup record from "),
        (
            [prediction_log_pb2.PredictionLog(session_run_log={}).SerializeToString()],
            errors.Unimplemented,
            "Unsupported log_type for warmup: session_run_log",
        ),
        (
            [GOOD] * 1001,
            errors.InvalidArgument,
            r"Number of warmup records exceeds the maximum \(1000\) at .*",
        ),
    ],
    ids=["failing request", "not a log", "session run", "too many"],
)
def test_one_bad_record_keeps_a_model_from_loading(folder, records, error, message):
    write(folder, records)
    with pytest.raises(error, match=message):
        load(folder)
    load(folder, enable_warmup=False).close()


def test_damaged_file(saved_model, folder):
    path = write(folder, [GOOD])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        errors.DataLoss,
        match=r"^corrupted record at 0\. Please verify your warmup data is in TFRecord format\.$",
    ):
        warmup.replay(saved_model, folder)


def test_methods_that_are_not_served_are_skipped(saved_model, folder, caplog):
    write(folder, [prediction_log_pb2.PredictionLog(classify_log={}).SerializeToString(), GOOD])
    assert warmup.replay(saved_model, folder) == 2
    assert "a classify_log is skipped" in caplog.text
