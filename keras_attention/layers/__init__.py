"""Attention layers for Keras 3."""

from keras_attention.layers.attention_base import AttentionBase as AttentionBase
from keras_attention.layers.bahdanau_attention import BahdanauAttention as BahdanauAttention
from keras_attention.layers.byte_net_block import ByteNetBlock as ByteNetBlock
from keras_attention.layers.conv_glu_block import ConvGluBlock as ConvGluBlock
from keras_attention.layers.coverage_attention import CoverageAttention as CoverageAttention
from keras_attention.layers.dilated_conv import DilatedConv as DilatedConv
from keras_attention.layers.gated_conv_block import GatedConvBlock as GatedConvBlock
from keras_attention.layers.local_attention import LocalAttention as LocalAttention
from keras_attention.layers.location_sensitive_attention import (
    LocationSensitiveAttention as LocationSensitiveAttention,
)
from keras_attention.layers.luong_attention import LuongAttention as LuongAttention
from keras_attention.layers.mo_ch_a import MoChA as MoChA
from keras_attention.layers.monotonic_attention import MonotonicAttention as MonotonicAttention
from keras_attention.layers.multi_head_cross_attention import (
    MultiHeadCrossAttention as MultiHeadCrossAttention,
)
from keras_attention.layers.multi_head_self_attention import (
    MultiHeadSelfAttention as MultiHeadSelfAttention,
)
from keras_attention.layers.pointer_generator import PointerGenerator as PointerGenerator
from keras_attention.layers.stateful_attention import StatefulAttention as StatefulAttention
from keras_attention.layers.time_distributed_scorer import (
    TimeDistributedScorer as TimeDistributedScorer,
)

__all__ = [
    "AttentionBase",
    "BahdanauAttention",
    "ByteNetBlock",
    "ConvGluBlock",
    "CoverageAttention",
    "DilatedConv",
    "GatedConvBlock",
    "LocalAttention",
    "LocationSensitiveAttention",
    "LuongAttention",
    "MoChA",
    "MonotonicAttention",
    "MultiHeadCrossAttention",
    "MultiHeadSelfAttention",
    "PointerGenerator",
    "StatefulAttention",
    "TimeDistributedScorer",
]
