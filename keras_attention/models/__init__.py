"""Models composed of the layers; no formulas of their own."""

from keras_attention.models.attention_cell import AttentionCell as AttentionCell
from keras_attention.models.attention_decoder import AttentionDecoder as AttentionDecoder
from keras_attention.models.rnn_decoder import RNNDecoder as RNNDecoder
from keras_attention.models.rnn_encoder import RNNEncoder as RNNEncoder
from keras_attention.models.rnn_seq2seq import RNNSeq2Seq as RNNSeq2Seq
from keras_attention.models.seq2seq import Seq2Seq as Seq2Seq
from keras_attention.models.transformer_decoder import TransformerDecoder as TransformerDecoder
from keras_attention.models.transformer_encoder import TransformerEncoder as TransformerEncoder
from keras_attention.models.transformer_lm import TransformerLM as TransformerLM
from keras_attention.models.transformer_seq2seq import TransformerSeq2Seq as TransformerSeq2Seq

__all__ = [
    "AttentionCell",
    "AttentionDecoder",
    "RNNDecoder",
    "RNNEncoder",
    "RNNSeq2Seq",
    "Seq2Seq",
    "TransformerDecoder",
    "TransformerEncoder",
    "TransformerLM",
    "TransformerSeq2Seq",
]
