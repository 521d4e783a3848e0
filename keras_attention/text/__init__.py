"""Text in the graph: tokenizers, and reading of parallel text."""

from keras_attention.text.batches import Batches as Batches
from keras_attention.text.corpus import CorpusError as CorpusError
from keras_attention.text.corpus import read_pairs as read_pairs
from keras_attention.text.corpus import read_parallel as read_parallel
from keras_attention.text.tokenizer import Tokenizer as Tokenizer

__all__ = ["Batches", "CorpusError", "Tokenizer", "read_pairs", "read_parallel"]
