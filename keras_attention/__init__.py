"""Attention layers for Keras 3, models made of them, and their export."""

from keras_attention import layers as layers
from keras_attention import ops as ops
from keras_attention._version import __version__ as __version__
from keras_attention.export import export as export
from keras_attention.layers import AttentionBase as AttentionBase
from keras_attention.layers import BahdanauAttention as BahdanauAttention
from keras_attention.layers import CoverageAttention as CoverageAttention
from keras_attention.layers import LocalAttention as LocalAttention
from keras_attention.layers import LocationSensitiveAttention as LocationSensitiveAttention
from keras_attention.layers import LuongAttention as LuongAttention
from keras_attention.layers import MoChA as MoChA
from keras_attention.layers import MonotonicAttention as MonotonicAttention
from keras_attention.layers import MultiHeadCrossAttention as MultiHeadCrossAttention
from keras_attention.layers import MultiHeadSelfAttention as MultiHeadSelfAttention
from keras_attention.layers import StatefulAttention as StatefulAttention
from keras_attention.layers import TimeDistributedScorer as TimeDistributedScorer
from keras_attention.losses import SequenceCrossentropy as SequenceCrossentropy
from keras_attention.metrics import SequenceAccuracy as SequenceAccuracy
from keras_attention.metrics import TokenAccuracy as TokenAccuracy
from keras_attention.models import RNNSeq2Seq as RNNSeq2Seq
from keras_attention.models import Seq2Seq as Seq2Seq
