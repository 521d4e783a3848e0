"""Models composed of the layers; no formulas of their own."""

from keras_attention.models.attention_cell import AttentionCell as AttentionCell
from keras_attention.models.attention_decoder import AttentionDecoder as AttentionDecoder
from keras_attention.models.linear_start import LinearStart as LinearStart
from keras_attention.models.memory_network import MemoryNetwork as MemoryNetwork
from keras_attention.models.rnn_decoder import RNNDecoder as RNNDecoder
from keras_attention.models.rnn_encoder import RNNEncoder as RNNEncoder
from keras_attention.models.rnn_seq2seq import RNNSeq2Seq as RNNSeq2Seq
from keras_attention.models.seq2seq import Seq2Seq as Seq2Seq

__all__ = [
    "AttentionCell",
    "AttentionDecoder",
    "LinearStart",
    "MemoryNetwork",
    "RNNDecoder",
    "RNNEncoder",
    "RNNSeq2Seq",
    "Seq2Seq",
]
