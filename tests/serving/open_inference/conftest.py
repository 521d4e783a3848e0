"""A server of the Open Inference Protocol and one model with every datatype of it."""

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from keras_attention_serving.server import Server

# Extreme values of every datatype; 0 and 1 of BOOL.
VALUES = {
    "BOOL": np.array([[True, False, True]]),
    **{
        name: np.array([[np.iinfo(dtype).min, 7, np.iinfo(dtype).max]], dtype)
        for name, dtype in (
            *(("UINT8", np.uint8), ("UINT16", np.uint16), ("UINT32", np.uint32)),
            *(("UINT64", np.uint64), ("INT8", np.int8), ("INT16", np.int16)),
            *(("INT32", np.int32), ("INT64", np.int64)),
        )
    },
    "FP16": np.array([[1 / 3, -65504, 6e-8]], np.float16),
    "BF16": np.array([[1 / 3, -3.3e38, 1e-38]], ml_dtypes.bfloat16),
    "FP32": np.array([[1 / 3, -3.4e38, 1e-45]], np.float32),
    "FP64": np.array([[1 / 3, -1.7e308, 5e-324]], np.float64),
    "BYTES": np.array([[b"", '\u00fc\n"'.encode(), b"a\0"]], object),
}


class Echo(tf.Module):
    """One signature for each datatype, `serving_default` for FP32, and others."""

    def signatures(self):
        return {
            **{name: self.echo(name, value) for name, value in VALUES.items()},
            "serving_default": self.echo("x", VALUES["FP32"]),
            "combine": self.combine,
            "complex": self.complex,
            "scale": self.scale,
            "wait": self.wait,
        }

    def echo(self, name, value):
        dtype = tf.string if value.dtype == object else tf.as_dtype(value.dtype)
        function = tf.function(lambda **inputs: {"y": tf.identity(inputs[name])})
        return function.get_concrete_function(**{name: tf.TensorSpec(None, dtype, name=name)})

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="left"),
            tf.TensorSpec([None], tf.float32, name="right"),
        ]
    )
    def combine(self, left, right):
        return {
            "sum": left + right,
            "ratio": left / right,
            "half": tf.cast(left / 2, tf.float16),
            "text": tf.strings.as_string(left),
        }

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="parts")])
    def complex(self, parts):
        number = tf.complex(parts[:, 0], parts[:, 1])
        return {"number": number, "size": tf.abs(number)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="x"),
            tf.TensorSpec([], tf.float32, name="factor"),
        ]
    )
    def scale(self, x, factor):
        return {"y": x * factor}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float64, name="seconds")])
    def wait(self, seconds):
        end = tf.timestamp() + seconds[0]
        turns = tf.while_loop(lambda i: tf.timestamp() < end, lambda i: [i + 1], [0])[0]
        return {"turns": turns}


@pytest.fixture(scope="session")
def echo_path(tmp_path_factory):
    """A model folder with version 3; the input `factor` of `scale` has the default 7."""
    folder = tmp_path_factory.mktemp("models") / "echo"
    module = Echo()
    tf.saved_model.save(module, str(folder / "3"), signatures=module.signatures())
    path = folder / "3" / "saved_model.pb"
    saved = SavedModel.FromString(path.read_bytes())
    defaults = saved.meta_graphs[0].signature_def["scale"].defaults
    defaults["factor"].CopyFrom(tf.make_tensor_proto(np.float32(7)))
    path.write_bytes(saved.SerializeToString())
    return folder


@pytest.fixture(scope="module")
def echo_server(echo_path):
    with Server({"echo": echo_path}, port=0, rest_port=0, host="127.0.0.1") as server:
        yield server
