"""Warm-up requests beside a model, written with TensorFlow and the official messages."""

import logging
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from keras_attention_serving import errors
from keras_attention_serving.monitoring.metrics import Metrics
from keras_attention_serving.versions import warmup
from keras_attention_serving.versions.loading import SavedModelLoader


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
    path = write(folder, [GOOD, predict_log("tokenize", text=["a b"]), GOOD])
    with caplog.at_level(logging.INFO):
        assert warmup.replay(saved_model, folder) == 3
    assert (
        f"Finished reading warmup data for model at {path}. Number of warmup records read: 3."
    ) in caplog.text


def test_the_longest_run_is_no_limit_of_the_warm_up(folder):
    """The first run of a model compiles kernels."""
    write(folder, [predict_log("wait", seconds=np.float64(0.4))])
    with SavedModelLoader(max_run_seconds=0.1)(folder) as model:
        feeds = {model.signatures["wait"].inputs["seconds"].name: np.array(1e6)}
        with pytest.raises(errors.DeadlineExceeded):
            model.run(feeds, [model.signatures["wait"].outputs["waited"].name])


def test_none_is_fine(saved_model, folder, caplog):
    with caplog.at_level(logging.INFO):
        assert warmup.replay(saved_model, folder) == 0
    assert f"No warmup data file found at {folder}/assets.extra/" in caplog.text


class Counted:
    """A model that counts its runs."""

    def __init__(self, model):
        self.signatures, self.runs, self._model = model.signatures, 0, model

    def run(self, *arguments):
        self.runs += 1
        return self._model.run(*arguments)


def test_requests_may_be_repeated(saved_model, folder):
    write(folder, [GOOD, GOOD])
    model = Counted(saved_model)
    assert warmup.replay(model, folder, iterations=3) == 2
    assert model.runs == 6


def test_as_many_as_are_allowed(saved_model, folder):
    write(folder, [GOOD] * 1000)
    model = Counted(saved_model)
    assert warmup.replay(model, folder) == 1000
    assert model.runs == 1000


class Told(Metrics):
    def __init__(self):
        self.calls = []

    def warmup(self, path, code, seconds, records):
        self.calls.append(("warmup", path, code, records))

    def load(self, path, ok, seconds):
        self.calls.append(("load", path, ok))


def test_metrics(folder):
    metrics = Told()
    load = SavedModelLoader(metrics=metrics)
    load(folder).close()
    write(folder, [GOOD, GOOD, predict_log("nothing")])
    with pytest.raises(errors.FailedPrecondition):
        load(folder)
    with pytest.raises(errors.NotFound):
        load(folder / "nowhere")
    loaded = ("load", str(folder), True)
    failed = ("load", str(folder / "nowhere"), False)
    assert metrics.calls == [loaded, loaded, ("warmup", str(folder), 9, 2), failed]


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
            [prediction_log_pb2.PredictionLog(predict_streamed_log={}).SerializeToString()],
            errors.Unimplemented,
            "Unsupported log_type for warmup: predict_streamed_log",
        ),
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
    ids=["failing request", "not a log", "streamed", "session run", "too many"],
)
def test_one_bad_record_keeps_a_model_from_loading(folder, records, error, message):
    write(folder, records)
    with pytest.raises(error, match=message):
        SavedModelLoader()(folder)
    SavedModelLoader(enable_warmup=False)(folder).close()


def test_damaged_file(saved_model, folder):
    path = write(folder, [GOOD])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        errors.DataLoss,
        match=r"^corrupted record at 0\. Please verify your warmup data is in TFRecord format\.$",
    ):
        warmup.replay(saved_model, folder)
