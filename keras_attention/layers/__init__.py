"""Attention layers for Keras 3."""

from keras_attention.layers.attention.attention_base import AttentionBase as AttentionBase
from keras_attention.layers.attention.bahdanau_attention import (
    BahdanauAttention as BahdanauAttention,
)
from keras_attention.layers.attention.coverage_attention import (
    CoverageAttention as CoverageAttention,
)
from keras_attention.layers.attention.local_attention import LocalAttention as LocalAttention
from keras_attention.layers.attention.location_sensitive_attention import (
    LocationSensitiveAttention as LocationSensitiveAttention,
)
from keras_attention.layers.attention.luong_attention import LuongAttention as LuongAttention
from keras_attention.layers.attention.mocha import MoChA as MoChA
from keras_attention.layers.attention.monotonic_attention import (
    MonotonicAttention as MonotonicAttention,
)
from keras_attention.layers.attention.pointer_generator import PointerGenerator as PointerGenerator
from keras_attention.layers.attention.stateful_attention import (
    StatefulAttention as StatefulAttention,
)
from keras_attention.layers.attention.time_distributed_scorer import (
    TimeDistributedScorer as TimeDistributedScorer,
)
from keras_attention.layers.convolution.byte_net_block import ByteNetBlock as ByteNetBlock
from keras_attention.layers.convolution.conv_glu_block import ConvGluBlock as ConvGluBlock
from keras_attention.layers.convolution.dilated_conv import DilatedConv as DilatedConv
from keras_attention.layers.convolution.gated_conv_block import GatedConvBlock as GatedConvBlock
from keras_attention.layers.keep_mask import KeepMask as KeepMask
from keras_attention.layers.memory.end_to_end_memory import EndToEndMemory as EndToEndMemory
from keras_attention.layers.memory.ntm_cell import NTMCell as NTMCell
from keras_attention.layers.multi_head.multi_head_cross_attention import (
    MultiHeadCrossAttention as MultiHeadCrossAttention,
)
from keras_attention.layers.multi_head.multi_head_self_attention import (
    MultiHeadSelfAttention as MultiHeadSelfAttention,
)
from keras_attention.layers.positions.alibi_bias import AlibiBias as AlibiBias
from keras_attention.layers.positions.learned_positions import LearnedPositions as LearnedPositions
from keras_attention.layers.positions.relative_bias import RelativeBias as RelativeBias
from keras_attention.layers.positions.rotary_positions import RotaryPositions as RotaryPositions
from keras_attention.layers.positions.sinusoidal_positions import (
    SinusoidalPositions as SinusoidalPositions,
)
from keras_attention.layers.transformer.transformer_decoder_block import (
    TransformerDecoderBlock as TransformerDecoderBlock,
)
from keras_attention.layers.transformer.transformer_encoder_block import (
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
