"""Servers of the REST API over loopback, and the models that they serve."""

import shutil
import time

import pytest
import tensorflow as tf
from google.protobuf import text_format

from keras_attention_serving.monitoring.prometheus import PrometheusMetrics
from keras_attention_serving.protocol import wire
from keras_attention_serving.rest.server import RestServer
from keras_attention_serving.service import Service
from keras_attention_serving.versions.loading import SavedModelLoader
from keras_attention_serving.versions.model_manager import ModelManager

CONFIG = """
model_config_list {{
  config {{
    name: "model" base_path: "{base}" model_platform: "tensorflow"
    model_version_policy {{ all {{}} }}
    version_labels {{ key: "stable" value: 3 }}
    version_labels {{ key: "a b" value: 5 }}
  }}
  config {{ name: "a/b \\303\\274" base_path: "{base}" model_platform: "tensorflow" }}
  config {{ name: "examples" base_path: "{examples}" model_platform: "tensorflow" }}
}}
"""


class Examples(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs):
        x = self.x(inputs)
        labels = tf.constant(["low", "high"])[None]
        scores = tf.stack([1 / (1 + x), x / (1 + x)], 1)
        return {"classes": tf.repeat(labels, tf.shape(x)[0], 0), "scores": scores}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress(self, inputs):
        return {"outputs": 2 * self.x(inputs)}

    def x(self, inputs):
        features = {"x": tf.io.FixedLenFeature([], tf.float32)}
        return tf.io.parse_example(inputs, features)["x"]


@pytest.fixture(scope="module")
def metrics():
    return PrometheusMetrics()


@pytest.fixture(scope="module")
def service(exports, tmp_path_factory, metrics):
    base = tmp_path_factory.mktemp("rest")
    for version, scale in ((3, 2), (5, 5)):
        shutil.copytree(exports[scale], base / "model" / str(version))
    module = Examples()
    signatures = {"classify": module.classify, "regress": module.regress}
    tf.saved_model.save(module, str(base / "examples" / "2"), signatures=signatures)
    manager = ModelManager(
        SavedModelLoader(), poll_wait_seconds=0, allow_labels_for_unavailable=True
    )
    text = CONFIG.format(base=base / "model", examples=base / "examples")
    manager.start(text_format.Parse(text, wire.ModelServerConfig()))
    while len(manager.available()) < 4:  # a model is ready with its first version
        time.sleep(0.01)
    yield Service(manager, metrics=metrics)
    manager.close()


@pytest.fixture(scope="module")
def serve(service):
    """Starts servers of the service, with arguments of `RestServer`."""
    running = []

    def serve(**arguments):
        server = RestServer(service, **{"port": 0, "host": "127.0.0.1", **arguments})
        server.start()
        running.append(server)
        return server

    yield serve
    for server in running:
        server.stop(1)


@pytest.fixture(scope="module")
def server(serve, metrics):
    return serve(metrics=metrics, metrics_path="/metrics")
