"""Attention layers for Keras 3, models made of them, and their export."""

from keras_attention import _keras as _keras  # says what to install if there is no Keras
from keras_attention import decoding as decoding
from keras_attention import layers as layers
from keras_attention import models as models
from keras_attention import ops as ops
from keras_attention._version import __version__ as __version__
from keras_attention.exporting.export import export as export
from keras_attention.layers import *  # noqa: F403 - all of its __all__, and that alone
from keras_attention.losses import CoverageLoss as CoverageLoss
from keras_attention.losses import GuidedAlignmentLoss as GuidedAlignmentLoss
from keras_attention.losses import SequenceCrossentropy as SequenceCrossentropy
from keras_attention.metrics import SequenceAccuracy as SequenceAccuracy
from keras_attention.metrics import TokenAccuracy as TokenAccuracy
from keras_attention.models import AttentionCell as AttentionCell
from keras_attention.models import AttentionDecoder as AttentionDecoder
from keras_attention.models import ByteNetSeq2Seq as ByteNetSeq2Seq
from keras_attention.models import ConvSeq2Seq as ConvSeq2Seq
from keras_attention.models import Forecaster as Forecaster
from keras_attention.models import LanguageModel as LanguageModel
from keras_attention.models import LinearStart as LinearStart
from keras_attention.models import MemoryNetwork as MemoryNetwork
from keras_attention.models import RNNSeq2Seq as RNNSeq2Seq
from keras_attention.models import Seq2Seq as Seq2Seq
from keras_attention.models import TransformerLM as TransformerLM
from keras_attention.models import TransformerSeq2Seq as TransformerSeq2Seq
from keras_attention.models import WaveNet as WaveNet
from keras_attention.schedules import ConstantSampling as ConstantSampling
from keras_attention.schedules import ExponentialSampling as ExponentialSampling
from keras_attention.schedules import InverseSigmoidSampling as InverseSigmoidSampling
from keras_attention.schedules import InverseSquareRoot as InverseSquareRoot
from keras_attention.schedules import LinearSampling as LinearSampling

__all__ = [
    "__version__",
    "AttentionCell",
    "AttentionDecoder",
    "ByteNetSeq2Seq",
    "ConstantSampling",
    "ConvSeq2Seq",
    "CoverageLoss",
    "ExponentialSampling",
    "Forecaster",
    "GuidedAlignmentLoss",
    "InverseSigmoidSampling",
    "InverseSquareRoot",
    "LanguageModel",
    "LinearSampling",
    "LinearStart",
    "MemoryNetwork",
    "RNNSeq2Seq",
    "Seq2Seq",
    "SequenceAccuracy",
    "SequenceCrossentropy",
    "TokenAccuracy",
    "TransformerLM",
    "TransformerSeq2Seq",
    "WaveNet",
    "decoding",
    "export",
    "layers",
    "models",
    "ops",
]
__all__ += layers.__all__
