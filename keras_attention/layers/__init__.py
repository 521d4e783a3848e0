"""Attention layers for Keras 3."""

from keras_attention.layers.alibi_bias import AlibiBias as AlibiBias
from keras_attention.layers.attention_base import AttentionBase as AttentionBase
from keras_attention.layers.bahdanau_attention import BahdanauAttention as BahdanauAttention
from keras_attention.layers.byte_net_block import ByteNetBlock as ByteNetBlock
from keras_attention.layers.conv_glu_block import ConvGluBlock as ConvGluBlock
from keras_attention.layers.coverage_attention import CoverageAttention as CoverageAttention
from keras_attention.layers.dilated_conv import DilatedConv as DilatedConv
from keras_attention.layers.end_to_end_memory import EndToEndMemory as EndToEndMemory
from keras_attention.layers.gated_conv_block import GatedConvBlock as GatedConvBlock
from keras_attention.layers.keep_mask import KeepMask as KeepMask
from keras_attention.layers.learned_positions import LearnedPositions as LearnedPositions
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
from keras_attention.layers.ntm_cell import NTMCell as NTMCell
from keras_attention.layers.pointer_generator import PointerGenerator as PointerGenerator
from keras_attention.layers.relative_bias import RelativeBias as RelativeBias
from keras_attention.layers.rotary_positions import RotaryPositions as RotaryPositions
from keras_attention.layers.sinusoidal_positions import SinusoidalPositions as SinusoidalPositions
from keras_attention.layers.stateful_attention import StatefulAttention as StatefulAttention
from keras_attention.layers.time_distributed_scorer import (
    TimeDistributedScorer as TimeDistributedScorer,
)
from keras_attention.layers.transformer_decoder_block import (
    TransformerDecoderBlock as TransformerDecoderBlock,
)
from keras_attention.layers.transformer_encoder_block import (
    TransformerEncoderBlock as TransformerEncoderBlock,
)

__all__ = [
    "AlibiBias",
    "AttentionBase",
    "BahdanauAttention",
    "ByteNetBlock",
    "ConvGluBlock",
    "CoverageAttention",
    "DilatedConv",
    "EndToEndMemory",
    "GatedConvBlock",
    "KeepMask",
    "LearnedPositions",
    "LocalAttention",
    "LocationSensitiveAttention",
    "LuongAttention",
    "MoChA",
    "MonotonicAttention",
    "MultiHeadCrossAttention",
    "MultiHeadSelfAttention",
    "NTMCell",
    "PointerGenerator",
    "RelativeBias",
    "RotaryPositions",
    "SinusoidalPositions",
    "StatefulAttention",
    "TimeDistributedScorer",
    "TransformerDecoderBlock",
    "TransformerEncoderBlock",
]
