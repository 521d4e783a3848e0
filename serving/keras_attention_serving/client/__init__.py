"""Clients of TensorFlow Serving and of the embedded server."""

from keras_attention_serving.client.async_client import AsyncClient as AsyncClient
from keras_attention_serving.client.channel import tls as tls
from keras_attention_serving.client.client import Client as Client
from keras_attention_serving.client.messages import ModelMetadata as ModelMetadata
from keras_attention_serving.client.messages import Signature as Signature
from keras_attention_serving.client.messages import TensorSpec as TensorSpec
from keras_attention_serving.client.messages import VersionStatus as VersionStatus
