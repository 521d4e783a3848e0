"""Models composed of the layers; no formulas of their own."""

from keras_attention.models.convolution.byte_net_seq2seq import ByteNetSeq2Seq as ByteNetSeq2Seq
from keras_attention.models.convolution.conv_decoder import ConvDecoder as ConvDecoder
from keras_attention.models.convolution.conv_encoder import ConvEncoder as ConvEncoder
from keras_attention.models.convolution.conv_seq2seq import ConvSeq2Seq as ConvSeq2Seq
from keras_attention.models.convolution.wave_net import WaveNet as WaveNet
from keras_attention.models.language_model import LanguageModel as LanguageModel
from keras_attention.models.memory.linear_start import LinearStart as LinearStart
from keras_attention.models.memory.memory_network import MemoryNetwork as MemoryNetwork
from keras_attention.models.recurrent.attention_cell import AttentionCell as AttentionCell
from keras_attention.models.recurrent.attention_decoder import AttentionDecoder as AttentionDecoder
from keras_attention.models.recurrent.forecaster import Forecaster as Forecaster
from keras_attention.models.recurrent.rnn_decoder import RNNDecoder as RNNDecoder
from keras_attention.models.recurrent.rnn_encoder import RNNEncoder as RNNEncoder
from keras_attention.models.recurrent.rnn_seq2seq import RNNSeq2Seq as RNNSeq2Seq
from keras_attention.models.seq2seq import Seq2Seq as Seq2Seq
from keras_attention.models.transformer.transformer_decoder import (
    TransformerDecoder as TransformerDecoder,
)
from keras_attention.models.transformer.transformer_encoder import (
    TransformerEncoder as TransformerEncoder,
)
from keras_attention.models.transformer.transformer_lm import TransformerLM as TransformerLM
from keras_attention.models.transformer.transformer_seq2seq import (
    TransformerSeq2Seq as TransformerSeq2Seq,
)

__all__ = [
    "AttentionCell",
    "AttentionDecoder",
    "ByteNetSeq2Seq",
    "ConvDecoder",
    "ConvEncoder",
    "ConvSeq2Seq",
    "Forecaster",
    "LanguageModel",
    "LinearStart",
    "MemoryNetwork",
    "RNNDecoder",
    "RNNEncoder",
    "RNNSeq2Seq",
    "Seq2Seq",
    "TransformerDecoder",
    "TransformerEncoder",
    "TransformerLM",
    "TransformerSeq2Seq",
    "WaveNet",
]
