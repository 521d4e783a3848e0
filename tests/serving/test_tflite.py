"""Models in the TensorFlow Lite format, converted by TensorFlow."""

import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.lite.tools import flatbuffer_utils
from tensorflow_serving.apis.get_model_metadata_pb2 import SignatureDefMap

from keras_attention_serving import Client, errors
from keras_attention_serving.loading import SavedModelLoader
from keras_attention_serving.options import Options
from keras_attention_serving.runtime import SavedModel
from keras_attention_serving.server import Server
from keras_attention_serving.tflite import TfLiteModel


class Module(tf.Module):
    def __init__(self):
        super().__init__()
        self.scale = tf.Variable([3.0, 3.0])

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 2], tf.float32, "x"),
            tf.TensorSpec([None], tf.int32, "n"),
        ]
    )
    def scaled(self, x, n):
        return {"y": x * self.scale, "m": n + n}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def column(self, text):
        return {"column": tf.reshape(text, [-1, 1])}


def convert(method, path):
    module = Module()
    function = getattr(module, method).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    path.write_bytes(converter.convert())
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return convert("scaled", tmp_path_factory.mktemp("lite") / "model.tflite")


@pytest.fixture(scope="module")
def signed(path, tmp_path_factory):
    """The same model with a SignatureDef among its metadata."""
    plain = TfLiteModel(path).signatures["serving_default"]
    names = SignatureDefMap()
    signature = names.signature_def["whatever"]
    signature.method_name = "tensorflow/serving/predict"
    signature.inputs["x"].name = "serving_default_x:0"
    signature.inputs["n"].name = "serving_default_n:0"
    for name, info in plain.outputs.items():
        alias = "y" if info.dtype == 1 else "m"
        signature.outputs[alias].name = name
    model = flatbuffer_utils.read_model(str(path))
    buffer = flatbuffer_utils.schema_fb.BufferT()
    buffer.data = list(names.SerializeToString())
    entry = flatbuffer_utils.schema_fb.MetadataT()
    entry.name, entry.buffer = b"signature_defs_metadata", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    result = tmp_path_factory.mktemp("signed") / "model.tflite"
    flatbuffer_utils.write_model(model, str(result))
    return result


X, N = np.array([[1, 2], [3, 5], [7, 11]], "f"), np.array([2, 3], "i")


def test_names_of_tensors_are_the_signature(path):
    model = TfLiteModel(path)
    assert list(model.signatures) == ["serving_default"]
    signature = model.signatures["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    assert {n: (i.name, i.dtype) for n, i in signature.inputs.items()} == {
        "serving_default_x:0": ("serving_default_x:0", 1),
        "serving_default_n:0": ("serving_default_n:0", 3),
    }
    shape = signature.inputs["serving_default_x:0"].tensor_shape
    assert [dim.size for dim in shape.dim] == [1, 2]
    types = {info.dtype: name for name, info in signature.outputs.items()}
    feeds = {"serving_default_x:0": X, "serving_default_n": N}
    y, m = model.run(feeds, [types[1], types[3]])
    assert y.tolist() == [[3, 6], [9, 15], [21, 33]]
    assert m.tolist() == [4, 6]
    model.close()
    with pytest.raises(errors.Unavailable, match="closed"):
        model.run(feeds, [])


def test_the_signature_among_the_metadata(signed):
    signature = TfLiteModel(signed).signatures["serving_default"]
    assert sorted(signature.inputs) == ["n", "x"]
    assert sorted(signature.outputs) == ["m", "y"]


def test_strings(tmp_path):
    model = TfLiteModel(convert("column", tmp_path / "model.tflite"))
    signature = model.signatures["serving_default"]
    (name,), (output,) = signature.inputs, signature.outputs
    assert signature.inputs[name].dtype == 7
    (column,) = model.run({name: np.array([b"a\0b", b"", b"c" * 100], object)}, [output])
    assert column.dtype == object
    assert column.tolist() == [[b"a\0b"], [b""], [b"c" * 100]]


def test_calls_side_by_side_do_not_mix(path):
    model = TfLiteModel(path, interpreters=3)
    (output,) = (n for n, i in model.signatures["serving_default"].outputs.items() if i.dtype == 1)
    wrong = []

    def work(number):
        x = np.full((number, 2), number, "f")
        for _ in range(30):
            feeds = {"serving_default_x:0": x, "serving_default_n:0": N}
            if model.run(feeds, [output])[0].tolist() != [[3 * number] * 2] * number:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in (2, 3, 5, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("feeds", "fetches", "error", "text"),
    [
        ({"z": X}, [], errors.InvalidArgument, "Missing input TFLite tensor: z"),
        ({}, ["z"], errors.InvalidArgument, "Missing output TFLite tensor: z"),
        (
            {"serving_default_x:0": N},
            [],
            errors.InvalidArgument,
            "Expects serving_default_x:0 to be DT_FLOAT but DT_INT32 is provided",
        ),
        (
            {"serving_default_x:0": np.ones((5, 7), "f")},
            [],
            errors.Internal,
            "Failed to run interpreter: ",
        ),
    ],
)
def test_wrong_runs(path, feeds, fetches, error, text):
    model = TfLiteModel(path)
    with pytest.raises(error) as caught:
        model.run(feeds, fetches)
    assert caught.value.message.startswith(text)
    good = {"serving_default_x:0": X, "serving_default_n:0": N}
    assert len(model.run(good, list(model.signatures["serving_default"].outputs))) == 2


def test_files_that_are_no_models(tmp_path):
    with pytest.raises(errors.NotFound, match="No such file"):
        TfLiteModel(tmp_path / "model.tflite")
    (tmp_path / "model.tflite").write_bytes(b"nothing of the kind")
    with pytest.raises(errors.InvalidArgument, match="Cannot build Interpreter from buffer"):
        TfLiteModel(tmp_path / "model.tflite")


def test_which_file_is_loaded(exports, path, tmp_path):
    folder = tmp_path / "3"
    shutil.copytree(exports[2], folder)
    prefer = SavedModelLoader(prefer_tflite=True)
    assert isinstance(prefer(folder), SavedModel)  # there is no other
    shutil.copy(path, folder)
    assert isinstance(SavedModelLoader()(folder), SavedModel)
    assert isinstance(prefer(folder), TfLiteModel)


def test_a_server(signed, tmp_path):
    (tmp_path / "lite" / "3").mkdir(parents=True)
    shutil.copy(signed, tmp_path / "lite" / "3")
    settings = Options(prefer_tflite_model=True, num_tflite_pools=2)
    with (
        Server({"m": tmp_path / "lite"}, port=0, host="127.0.0.1", settings=settings) as server,
        Client(f"127.0.0.1:{server.port}", timeout=30) as client,
    ):
        outputs = client.predict("m", {"x": X, "n": N})
        assert outputs["y"].tolist() == [[3, 6], [9, 15], [21, 33]]
        assert outputs["m"].tolist() == [4, 6]
