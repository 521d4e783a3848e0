"""Querying and serving SavedModels over the TensorFlow Serving API, without TensorFlow's Python.

The clients and their errors are here; the server is `keras_attention_serving.server.Server`.
"""

from keras_attention_serving.client import (
    AsyncClient,
    Client,
    ModelMetadata,
    Signature,
    TensorSpec,
    VersionStatus,
    tls,
)
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
