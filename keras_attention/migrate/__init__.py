"""Weights that were trained in other packages, loaded into the layers of this one."""

from keras_attention.migrate.addons import load_addons as load_addons
from keras_attention.migrate.attention_package import load_attention as load_attention
from keras_attention.migrate.keras_multi_head import load_keras_attention as load_keras_attention
from keras_attention.migrate.read_variables import read_variables as read_variables
from keras_attention.migrate.self_attention_package import (
    load_self_attention as load_self_attention,
)
from keras_attention.migrate.torch_transformer import load_torch as load_torch

__all__ = [
    "load_addons",
    "load_attention",
    "load_keras_attention",
    "load_self_attention",
    "load_torch",
    "read_variables",
]
