"""Requests beside an exported model, which the embedded server runs as it loads it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_log_pb2

import keras_attention as ka
from keras_attention.exporting.warmup_requests import array_examples, in_batches
from keras_attention_command.commands.export import WARMUP_BATCH_SIZES
from keras_attention_serving.runtime.saved_model import SavedModel
from keras_attention_serving.versions import warmup
from tests.serving.test_tf_serving_config import FOLDER, message
from tests.tiny_run import trained, trained_model

PRESETS = {"best": ("beam", {"length_penalty": 0.5}), "free": ("sample", {"top_k": 3})}


def requests(version):
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        yield prediction_log_pb2.PredictionLog.FromString(record).predict_log.request


def batches(version):
    """By signature, the sizes of the batches: that of every input of a request."""
    found = {}
    for request in requests(version):
        (size,) = {x.tensor_shape.dim[0].size for x in request.inputs.values()}
        found.setdefault(request.model_spec.signature_name, []).append(size)
    return found


def replay(version):
    """How many requests the embedded server answers, which stops at the first that fails."""
    with SavedModel(version) as model:
        return warmup.replay(model, version)


def test_every_signature_of_a_text_model(tmp_path):
    source, target = trained().tokenizers()
    options = {"warmup": True, "warmup_batch_sizes": (1, 3), "presets": PRESETS, "max_length": 5}
    path = ka.export(
        *(trained_model(), tmp_path / "m"),
        source_tokenizer=source,
        target_tokenizer=target,
        **options,
    )
    names = {"serving_default", "score", "decode_ids", "beam", "sample", "best", "free"}
    assert batches(path) == dict.fromkeys(names, [1, 3])
    assert all(x.inputs["text"].string_val[0] for x in requests(path) if "text" in x.inputs)
    assert replay(path) == 2 * len(names)


def test_a_model_of_ids(tmp_path):
    path = ka.export(
        trained_model(), tmp_path / "m", max_length=3, searches=(), presets=PRESETS, warmup=True
    )
    assert batches(path) == {"serving_default": [1], "best": [1], "free": [1]}
    assert replay(path) == 3


def other_model():
    a, b = keras.Input((None, 3), name="a"), keras.Input((), name="b", dtype="int32")
    x = keras.layers.Conv1D(2, 3)(a)
    return keras.Model([a, b], [x, keras.layers.Rescaling(2, dtype="int32")(b)])


def test_other_models(tmp_path):
    """With ones, or with what is given, as often as it takes."""
    path = ka.export(other_model(), tmp_path / "m", warmup=True, warmup_batch_sizes=(1, 5))
    assert batches(path) == {"serving_default": [1, 5]}
    assert replay(path) == 2
    given = {"a": np.arange(24).reshape(2, 4, 3), "b": [7, 11]}
    path = ka.export(other_model(), tmp_path / "m", warmup=[given], warmup_batch_sizes=(5,))
    (request,) = requests(path)
    assert tf.make_ndarray(request.inputs["b"]).tolist() == [7, 11, 7, 11, 7]
    assert tf.make_ndarray(request.inputs["a"])[4, 3, 2] == 11
    assert replay(path) == 1


def test_a_batch_of_one_size(tmp_path):
    inputs = keras.Input(batch_shape=(2, 3), name="x")
    model = keras.Model(inputs, keras.layers.Dense(5)(inputs))
    path = ka.export(model, tmp_path / "m", warmup=True, warmup_batch_sizes=(1, 4))
    assert batches(path) == {"serving_default": [2]}
    assert replay(path) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warmup": [{"a": [[[1.0] * 3]] * 2, "c": [1]}]}, "dictionaries of a, b. .*'a', 'c'"),
        ({"warmup": [3]}, "dictionaries of a, b. Received: 3"),
        ({"warmup": [{"a": np.ones((1, 2, 3)), "b": [1]}]}, "inputs that the model answers.*2, 3"),
        ({"warmup": [{"a": np.ones((0, 4, 3)), "b": []}]}, "arrays with examples.*0, 4, 3"),
        ({"warmup": True, "warmup_batch_sizes": (0,)}, "warmup_batch_sizes of positive.*0,"),
        ({"max_source_length": 3}, "a Seq2Seq along with max_source_length"),
    ],
)
def test_what_does_not_fit(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        ka.export(other_model(), tmp_path / "m", **options)
    assert not (tmp_path / "m").exists()


def test_more_requests_than_a_server_takes(tmp_path):
    with pytest.raises(ValueError, match="at most 1000 .* Received: 1001"):
        ka.export(other_model(), tmp_path / "m", warmup=True, warmup_batch_sizes=[1] * 1001)
    assert list((tmp_path / "m").iterdir()) == []


def test_strings_and_batches():
    spec = tf.TensorSpec((None, 2), tf.string, name="x")
    (example,) = array_examples([{"x": [["ä", "b"]]}], [spec], lambda inputs: inputs)
    (batch,) = in_batches([example], [3])
    assert batch["x"].tolist() == [["ä", "b"]] * 3


def test_the_command_warms_up_as_the_servers_batch():
    config = text_format.Parse(
        (FOLDER / "batching.config").read_text(), message("BatchingParameters")
    )
    assert tuple(config.allowed_batch_sizes) == WARMUP_BATCH_SIZES
