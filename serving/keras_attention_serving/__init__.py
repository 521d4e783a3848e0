"""Querying and serving SavedModels over the TensorFlow Serving API, without TensorFlow's Python.

The clients and their errors are here; the server is `keras_attention_serving.server.Server`.
"""

from keras_attention_serving.async_client import AsyncClient
from keras_attention_serving.calls import ModelMetadata, Signature, TensorSpec, VersionStatus
from keras_attention_serving.channel import tls
from keras_attention_serving.client import Client
from keras_attention_serving.errors import ServingError

__all__ = [
    "AsyncClient",
    "Client",
    "ModelMetadata",
    "ServingError",
    "Signature",
    "TensorSpec",
    "VersionStatus",
    "tls",
]
