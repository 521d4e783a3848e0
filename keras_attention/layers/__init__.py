"""Attention layers for Keras 3."""

from keras_attention.layers.attention_base import AttentionBase as AttentionBase
from keras_attention.layers.bahdanau_attention import BahdanauAttention as BahdanauAttention
from keras_attention.layers.luong_attention import LuongAttention as LuongAttention
from keras_attention.layers.multi_head_cross_attention import (
    MultiHeadCrossAttention as MultiHeadCrossAttention,
)
from keras_attention.layers.multi_head_self_attention import (
    MultiHeadSelfAttention as MultiHeadSelfAttention,
)
from keras_attention.layers.time_distributed_scorer import (
    TimeDistributedScorer as TimeDistributedScorer,
)

__all__ = [
    "AttentionBase",
    "BahdanauAttention",
    "LuongAttention",
    "MultiHeadCrossAttention",
    "MultiHeadSelfAttention",
    "TimeDistributedScorer",
]
