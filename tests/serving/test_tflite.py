"""Models in the TensorFlow Lite format, converted by TensorFlow."""

import shutil
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from flatbuffers import flexbuffers
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow.lite.tools import flatbuffer_utils

from keras_attention_serving import Client, errors
from keras_attention_serving.open_inference import messages
from keras_attention_serving.runtime.saved_model import SavedModel
from keras_attention_serving.runtime.tflite import TfLiteModel
from keras_attention_serving.server import Server
from keras_attention_serving.settings.options import Options
from keras_attention_serving.versions.loading import SavedModelLoader


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


def with_metadata(path, content, target):
    """A copy of a model with something where SignatureDefs lie."""
    model = flatbuffer_utils.read_model(str(path))
    buffer = flatbuffer_utils.schema_fb.BufferT()
    buffer.data = list(content)
    entry = flatbuffer_utils.schema_fb.MetadataT()
    entry.name, entry.buffer = b"signature_defs_metadata", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    flatbuffer_utils.write_model(model, str(target))
    return target


def flexbuffers_map(signatures):
    """As TensorFlow Lite's C++ tool writes it: the values are strings, though they are no text."""
    builder, texts = flexbuffers.Builder(), {}
    with builder.Map():
        for number, (name, signature) in enumerate(signatures.items()):
            text = signature.SerializeToString()
            builder.Key(name.encode())
            builder.String(chr(ord("A") + number) * len(text))
            texts[chr(ord("A") + number).encode() * len(text)] = text
    data = bytes(builder.Finish())
    for stand_in, text in texts.items():
        assert data.count(stand_in) == 1
        data = data.replace(stand_in, text)
    return data


def signature_of(inputs, outputs):
    signature = SignatureDef(method_name="tensorflow/serving/predict")
    for names, target in ((inputs, signature.inputs), (outputs, signature.outputs)):
        for alias, name in names.items():
            target[alias].name = name
            target[alias].tensor_shape.dim.add(size=-1)
    return signature


@pytest.fixture(scope="module")
def outputs(path):
    """Names of the output tensors."""
    plain = TfLiteModel(path).signatures["serving_default"]
    return {("y" if info.dtype == 1 else "m"): name for name, info in plain.outputs.items()}


@pytest.fixture(scope="module")
def signed(path, outputs, tmp_path_factory):
    """The same model with SignatureDefs among its metadata."""
    inputs = {"x": "serving_default_x:0", "n": "serving_default_n:0"}
    bare = {alias: name.removesuffix(":0") for alias, name in inputs.items()}
    more = {alias: f"{name}:0" for alias, name in outputs.items()}
    content = flexbuffers_map(
        {
            "serving_default": signature_of(inputs, outputs),
            "without": signature_of(bare, more),
            "nämlich": signature_of({"n": inputs["n"]}, {"m": outputs["m"]}),
        }
    )
    return with_metadata(path, content, tmp_path_factory.mktemp("signed") / "model.tflite")


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


def test_the_signatures_among_the_metadata(signed, outputs):
    signatures = TfLiteModel(signed).signatures
    assert sorted(signatures) == ["nämlich", "serving_default", "without"]
    for name in ("serving_default", "without"):  # the file's names, whatever the signature says
        found = signatures[name]
        assert {alias: info.name for alias, info in found.inputs.items()} == {
            "x": "serving_default_x:0",
            "n": "serving_default_n:0",
        }
        assert {alias: info.name for alias, info in found.outputs.items()} == outputs


@pytest.mark.parametrize("content", [b"", b"\xff" * 19, b"\x00", b"\x01\x04\x01"], ids=bytes.hex)
def test_metadata_that_is_something_else(path, tmp_path, content):
    model = with_metadata(path, content, tmp_path / "model.tflite")
    with pytest.raises(errors.InvalidArgument) as caught:
        TfLiteModel(model)
    assert caught.value.message == "Invalid SignatureDefs found in TfLite model"


@pytest.mark.parametrize("side", ["input", "output"])
def test_a_signature_over_unknown_tensors(path, outputs, tmp_path, side):
    known = {"input": {"x": "serving_default_x"}, "output": outputs}
    given = {**known, side: {"a": "nothing:0"}}
    content = flexbuffers_map({"s": signature_of(given["input"], given["output"])})
    model = with_metadata(path, content, tmp_path / "model.tflite")
    with pytest.raises(errors.Internal) as caught:
        TfLiteModel(model)
    assert f"Signature {side} a references an unknown tensor" in caught.value.message


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


def open_inference(channel):
    """The platform, and a raw answer of the signature `nämlich`, by the Open Inference Protocol."""

    def call(method, request, response_class):
        rpc = channel.unary_unary(f"/{messages.SERVICE}/{method}")
        return response_class.FromString(rpc(request.SerializeToString(), timeout=30))

    metadata = call(
        "ModelMetadata", messages.ModelMetadataRequest(name="m"), messages.ModelMetadataResponse
    )
    request = messages.ModelInferRequest(model_name="m", raw_input_contents=[N.tobytes()])
    request.inputs.add(name="n", datatype="INT32", shape=N.shape)
    request.parameters["signature_name"].string_param = "nämlich"
    answer = call("ModelInfer", request, messages.ModelInferResponse)
    return metadata.platform, np.frombuffer(answer.raw_output_contents[0], np.int32).tolist()


def test_a_server(signed, tmp_path):
    (tmp_path / "lite" / "3").mkdir(parents=True)
    shutil.copy(signed, tmp_path / "lite" / "3")
    settings = Options(prefer_tflite_model=True, num_tflite_pools=2)
    with (
        Server({"m": tmp_path / "lite"}, port=0, host="127.0.0.1", settings=settings) as server,
        Client(f"127.0.0.1:{server.port}", timeout=30) as client,
    ):
        for signature in ("serving_default", "without"):
            outputs = client.predict("m", {"x": X, "n": N}, signature=signature)
            assert outputs["y"].tolist() == [[3, 6], [9, 15], [21, 33]]
            assert outputs["m"].tolist() == [4, 6]
        assert client.predict("m", {"n": N}, signature="nämlich")["m"].tolist() == [4, 6]
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            assert open_inference(channel) == ("tensorflow_lite", [4, 6])
