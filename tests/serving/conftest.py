"""One SavedModel with every kind of signature, shared by the tests of the serving half.

Made with TensorFlow alone: the server knows nothing of the library that exported a model.
"""

import datetime
import shutil

import grpc
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text as tf_text
import trustme
from tensorflow_serving.apis import prediction_service_pb2_grpc

from keras_attention_serving.protocol import tensors
from keras_attention_serving.runtime.saved_model import SavedModel
from keras_attention_serving.server import Server
from keras_attention_serving.settings.options import Options

# Every dtype that both NumPy and a TensorFlow graph can hold.
DTYPES = [
    np.dtype(name)
    for name in (
        *("float16", "float32", "float64", "int8", "int16", "int32", "int64"),
        *("uint8", "uint16", "uint32", "uint64", "bool", "complex64", "complex128"),
    )
] + [tensors.numpy_dtype(14)]


def spec(shape, dtype, name):
    return tf.TensorSpec(shape, dtype, name=name)


class Model(tf.Module):
    """`scale` is a variable, so that two exports can be told apart by their answers."""

    def __init__(self, scale):
        super().__init__()
        self.scale = tf.Variable(float(scale))
        self.tokenizer = tf_text.WhitespaceTokenizer()

    @tf.function(input_signature=[spec([None, 3], tf.float32, "x")])
    def multiply(self, x):
        return {"y": x * self.scale}

    @tf.function(
        input_signature=[spec([None], tf.float32, "left"), spec([None], tf.float32, "right")]
    )
    def combine(self, left, right):
        return {"sum": left + right, "difference": left - right, "product": left * right}

    @tf.function(input_signature=[spec([None], tf.string, "text")])
    def tokenize(self, text):
        tokens = self.tokenizer.tokenize(text)
        return {
            "tokens": tokens.to_tensor(b""),
            "count": tokens.row_lengths(),
            "upper": tf.strings.upper(text, encoding="utf-8"),
        }

    @tf.function(input_signature=[spec([], tf.float64, "seconds")])
    def wait(self, seconds):
        end = tf.timestamp() + seconds
        turns = tf.while_loop(lambda i: tf.timestamp() < end, lambda i: [i + 1], [0])[0]
        return {"waited": seconds, "turns": turns}

    def echo(self):
        """One input and one output for each dtype, and for strings."""
        dtypes = [tf.as_dtype(dtype) for dtype in DTYPES] + [tf.string]
        specs = {d.name: spec(None, d, d.name) for d in dtypes}

        @tf.function
        def function(**inputs):
            return {name: tf.identity(value) for name, value in inputs.items()}

        return function.get_concrete_function(**specs)


def export(path, scale):
    model = Model(scale)
    tf.saved_model.save(
        model,
        str(path),
        signatures={
            "serving_default": model.multiply,
            "combine": model.combine,
            "tokenize": model.tokenize,
            "wait": model.wait,
            "echo": model.echo(),
        },
    )


@pytest.fixture(scope="session")
def exports(tmp_path_factory):
    """Folders of two exports of the same model: `scale` 2 and `scale` 5."""
    folder = tmp_path_factory.mktemp("exports")
    for scale in (2, 5):
        export(folder / str(scale), scale)
    return {scale: folder / str(scale) for scale in (2, 5)}


@pytest.fixture
def publish(exports, tmp_path):
    """Puts an export into a base path as our exporter does: written aside, then renamed."""

    def publish(base_path, version, scale):
        aside = tmp_path / f"aside-{version}"
        shutil.copytree(exports[scale], aside)
        base_path.mkdir(exist_ok=True)
        aside.rename(base_path / str(version))
        return base_path

    return publish


@pytest.fixture(scope="session")
def base_path(exports, tmp_path_factory):
    """A model folder with one version, 3, of `scale` 2; tests must not change it."""
    folder = tmp_path_factory.mktemp("models") / "model"
    shutil.copytree(exports[2], folder / "3")
    return folder


@pytest.fixture(scope="session")
def saved_model(exports):
    with SavedModel(exports[2]) as model:
        yield model


@pytest.fixture(scope="session")
def server(base_path):
    with Server({"model": base_path}, port=0, host="127.0.0.1") as server:
        yield server


@pytest.fixture(scope="session")
def address(server):
    return f"127.0.0.1:{server.port}"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """PEM files of an authority, a server and a client."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    authority.cert_pem.write_to_path(str(folder / "root.pem"))
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    for name, identity in (("server", "localhost"), ("client", "client@example.org")):
        issued = authority.issue_cert(identity, not_after=soon, key_type=trustme.KeyType.ECDSA)
        issued.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        issued.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
    return folder


@pytest.fixture(scope="session")
def example_base_path(tmp_path_factory):
    """A model of `tf.Example`s, `x` and optionally `scale`: signatures as TF1 exported them.

    Version 7. The scores of an example are `x * scale * [2, 3, 5]`.
    """
    v1 = tf.compat.v1
    folder = tmp_path_factory.mktemp("models") / "examples"
    with tf.Graph().as_default(), v1.Session() as session:
        serialized = v1.placeholder(tf.string, [None], "serialized")
        other = v1.placeholder(tf.string, [None], "other")
        features = {
            "x": tf.io.FixedLenFeature([], tf.float32),
            "scale": tf.io.FixedLenFeature([], tf.float32, 1.0),
        }
        parsed = tf.io.parse_example(serialized, features)
        x = parsed["x"] * parsed["scale"]
        scores = x[:, None] * [2.0, 3.0, 5.0]
        classes = tf.tile([["two", "three", "five"]], [tf.size(x), 1])
        outputs = {
            "classify": {"classes": classes, "scores": scores},
            "only_scores": {"scores": scores},
            "only_classes": {"classes": classes},
            "two_scores": {"classes": classes, "scores": scores[:, :2]},
            "flat_scores": {"scores": x},
            "integer_scores": {"scores": tf.cast(scores, tf.int64)},
            "numeric_classes": {"classes": scores},
            "one_row": {"scores": scores[:1]},
            "odd_outputs": {"logits": scores},
            "three_outputs": {"classes": classes, "scores": scores, "x": x},
            "regress": {"outputs": x * 7},
            "regress_column": {"outputs": x[:, None] * 11},
            "regress_wide": {"outputs": scores},
            "regress_integer": {"outputs": tf.cast(x, tf.int32)},
            "regress_one": {"outputs": x[:1]},
            "regress_odd": {"y": x},
            "regress_two": {"outputs": x, "more": x},
            "two_inputs": {"outputs": x},
            "odd_input": {"outputs": x},
        }
        inputs = {
            "two_inputs": {"inputs": serialized, "other": other},
            "odd_input": {"x": serialized},
        }
        signatures = {}
        for name, tensors_ in outputs.items():
            regresses = name.startswith(("regress", "two_inputs", "odd_input"))
            signatures[name] = v1.saved_model.build_signature_def(
                *(
                    {alias: v1.saved_model.build_tensor_info(t) for alias, t in part.items()}
                    for part in (inputs.get(name, {"inputs": serialized}), tensors_)
                ),
                f"tensorflow/serving/{'regress' if regresses else 'classify'}",
            )
        signatures["serving_default"] = signatures["classify"]
        unnamed = type(signatures["classify"])()
        unnamed.CopyFrom(signatures["classify"])
        unnamed.method_name = "unheard_of"
        signatures["unheard_of"] = unnamed
        builder = v1.saved_model.Builder(str(folder / "7"))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()
    return folder


@pytest.fixture(scope="session")
def example_server(example_base_path):
    with Server({"examples": example_base_path}, port=0, host="127.0.0.1") as server:
        yield server


@pytest.fixture(scope="session")
def example_stub(example_server):
    """The official stub, connected to a server of `example_base_path`."""
    with grpc.insecure_channel(f"127.0.0.1:{example_server.port}") as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="session")
def strict_stub(example_base_path):
    """The same with `--enable_signature_method_name_check`."""
    settings = Options(enable_signature_method_name_check=True)
    with Server(
        {"examples": example_base_path}, port=0, host="127.0.0.1", settings=settings
    ) as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="session")
def fill_examples():
    """Puts examples, and a context, into the `input` of an official request message."""

    def example(features):
        result = tf.train.Example()
        for name, value in features.items():
            result.features.feature[name].float_list.value.append(value)
        return result

    def fill(request, *examples, context=None):
        target = request.input.example_list
        if context is not None:
            target = request.input.example_list_with_context
            target.context.CopyFrom(example(context))
        target.SetInParent()
        target.examples.extend(example(features) for features in examples)
        return request

    return fill
