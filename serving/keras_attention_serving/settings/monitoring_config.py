"""Configuration of the page of the metrics: TensorFlow Serving's `MonitoringConfig`.

prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }
"""

from google.protobuf import descriptor_pb2, text_format

from keras_attention_serving.protocol import text_proto, wire

DEFAULT_PATH = "/monitoring/prometheus/metrics"

# The official Python package leaves these messages out.
_MESSAGES = """
name: "tensorflow_serving/config/monitoring_config.proto"
package: "tensorflow.serving"
syntax: "proto3"
message_type {
  name: "PrometheusConfig"
  field { number: 1 name: "enable" type: TYPE_BOOL }
  field { number: 2 name: "path" type: TYPE_STRING }
}
message_type {
  name: "MonitoringConfig"
  field { number: 1 name: "prometheus_config" type_name: ".tensorflow.serving.PrometheusConfig" }
}
"""
wire.POOL.Add(text_format.Parse(_MESSAGES, descriptor_pb2.FileDescriptorProto()))
MonitoringConfig = wire.message("tensorflow.serving.MonitoringConfig")


def metrics_path(file: str) -> str | None:
    """The path of the metrics on the REST port; None if they are not enabled.

    Raises `errors.ServingError` if the file cannot be read or holds something else.
    """
    config = text_proto.read(file, MonitoringConfig).prometheus_config
    return (config.path or DEFAULT_PATH) if config.enable else None
