"""Attention layers for Keras 3."""

from keras_attention.layers.attention.attention_base import AttentionBase
from keras_attention.layers.attention.bahdanau_attention import BahdanauAttention
from keras_attention.layers.attention.coverage_attention import CoverageAttention
from keras_attention.layers.attention.local_attention import LocalAttention
from keras_attention.layers.attention.location_sensitive_attention import LocationSensitiveAttention
from keras_attention.layers.attention.luong_attention import LuongAttention
from keras_attention.layers.attention.mocha import MoChA
from keras_attention.layers.attention.monotonic_attention import MonotonicAttention
from keras_attention.layers.attention.pointer_generator import PointerGenerator
from keras_attention.layers.attention.stateful_attention import StatefulAttention
from keras_attention.layers.attention.time_distributed_scorer import TimeDistributedScorer
from keras_attention.layers.convolution.byte_net_block import ByteNetBlock
from keras_attention.layers.convolution.conv_glu_block import ConvGluBlock
from keras_attention.layers.convolution.dilated_conv import DilatedConv
from keras_attention.layers.convolution.gated_conv_block import GatedConvBlock
from keras_attention.layers.keep_mask import KeepMask as KeepMask
from keras_attention.layers.memory.end_to_end_memory import EndToEndMemory
from keras_attention.layers.memory.ntm_cell import NTMCell
from keras_attention.layers.multi_head.multi_head_cross_attention import MultiHeadCrossAttention
from keras_attention.layers.multi_head.multi_head_self_attention import MultiHeadSelfAttention
from keras_attention.layers.positions.alibi_bias import AlibiBias
from keras_attention.layers.positions.learned_positions import LearnedPositions
from keras_attention.layers.positions.relative_bias import RelativeBias
from keras_attention.layers.positions.rotary_positions import RotaryPositions
from keras_attention.layers.positions.sinusoidal_positions import SinusoidalPositions
from keras_attention.layers.transformer.transformer_decoder_block import TransformerDecoderBlock
from keras_attention.layers.transformer.transformer_encoder_block import TransformerEncoderBlock

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
