"""One SavedModel with every kind of signature, shared by the tests of the serving half.

Made with TensorFlow alone: the server knows nothing of the library that exported a model.
"""

import datetime
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text as tf_text
import trustme

from keras_attention_serving import tensors
from keras_attention_serving.runtime import SavedModel
from keras_attention_serving.server import Server

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
