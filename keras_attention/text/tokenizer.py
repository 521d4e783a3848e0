"""SentencePiece inside the graph."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
import tensorflow as tf
import tensorflow_text
from tensorflow_text.python.ops.sentencepiece_tokenizer import gen_sentencepiece_tokenizer

from keras_attention._types import Tensor
from keras_attention.text.vocabulary import (
    END_ID,
    PAD_ID,
    START_ID,
    UNKNOWN_ID,
    learn_vocabulary,
)


class _Vocabulary(tf.saved_model.experimental.TrackableResource):
    """A SentencePiece model in TensorFlow's memory, under a name of its own.

    That of TensorFlow Text has none: `tf.saved_model.load` takes all of a process for one, and it
    goes whenever TensorFlow's seed is set.

    Args:
        proto: a serialized SentencePiece model.
    """

    def __init__(self, proto: bytes) -> None:
        super().__init__()
        self._proto = proto
        _ = self.resource_handle  # made here, and not in the graph that asks first

    def _create_resource(self) -> Any:
        name = f"sentencepiece_{hashlib.sha256(self._proto).hexdigest()}"
        return gen_sentencepiece_tokenizer.sentencepiece_op(model=self._proto, shared_name=name)


class Tokenizer(tf.Module):
    """Text to tokens and back, by a SentencePiece model and inside the graph.

    Normalisation (NFKC, folding of case if asked for, blanks) is part of the model: what the
    server does to a text is what training did. Tokens 0 to 3 are padding, unknown, start, end.

    Args:
        proto: a serialized SentencePiece model, as `Tokenizer.train` makes it.

    Raises:
        ValueError: the model is none, or has other special tokens.
    """

    def __init__(self, proto: bytes) -> None:
        super().__init__(name="tokenizer")
        self.proto = proto
        processor = sentencepiece.SentencePieceProcessor()
        try:
            processor.LoadFromSerializedProto(proto)
        except RuntimeError:
            raise ValueError("Expected a serialized SentencePiece model.") from None
        special = tuple(
            getattr(processor, name)() for name in ("pad_id", "unk_id", "bos_id", "eos_id")
        )
        if special != (PAD_ID, UNKNOWN_ID, START_ID, END_ID):
            raise ValueError(
                "Expected a model whose padding, unknown, start and end are tokens 0, 1, 2 and 3. "
                f"Received: {special}"
            )
        self.vocabulary_size = processor.vocab_size()
        self._normalizer: Any = None
        self._tokenizer = tensorflow_text.SentencepieceTokenizer(model=proto, out_type=tf.int32)
        self._tokenizer._model_resource = _Vocabulary(proto)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        kind: str = "unigram",
        vocabulary_size: int = 8000,
        normalization: str = "nfkc",
        symbols: Sequence[str] = (),
    ) -> "Tokenizer":
        """Makes a vocabulary from texts.

        Args:
            texts: iterable of strings.
            kind: `"char"` or `"word"`, every character or word seen (the commonest
                `vocabulary_size` of them); `"unigram"` or `"bpe"`, subwords.
            vocabulary_size: most tokens, the four special ones included; fewer where the texts
                do not have as many. Of characters that do not fit in, the commonest are kept.
            normalization: SentencePiece's name of the rule; `"nfkc_cf"` folds case, too;
                `"identity"` keeps every blank.
            symbols: strings that are one token each, always.

        Raises:
            ValueError: unknown kind or normalization, no text, a size without room for one token.
        """
        return cls(learn_vocabulary(texts, kind, vocabulary_size, normalization, symbols))

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """Reads a model written by `save` or by SentencePiece."""
        return cls(Path(path).read_bytes())

    def save(self, path: str | Path) -> None:
        Path(path).write_bytes(self.proto)

    def tokenize(self, texts: Tensor) -> tuple[Tensor, Tensor]:
        """String `(B,)` to ids int32 `(B, T)`, T >= 1, 0 after the last, and lengths `(B,)`."""
        ragged = self._tokenizer.tokenize(texts)
        ids = ragged.to_tensor(default_value=PAD_ID)
        missing = tf.maximum(1 - tf.shape(ids)[1], 0)  # recurrent layers want one step at least
        ids = tf.pad(ids, [[0, 0], [0, missing]], constant_values=PAD_ID)
        return ids, tf.cast(ragged.row_lengths(), tf.int32)

    def detokenize(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Ids `(B, T)` and lengths `(B,)` to string `(B,)`."""
        ids = self._checked(ids, lengths)
        return self._tokenizer.detokenize(tf.RaggedTensor.from_tensor(ids, lengths=lengths))

    def pieces(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """The text of each token, string `(B, T)`, empty after the last."""
        ids = self._checked(ids, lengths)
        kept = tf.sequence_mask(lengths, tf.shape(ids)[1])
        return tf.where(kept, self._tokenizer.id_to_string(ids), "")

    def normalize(self, text: str) -> str:
        """A Python string as its tokens would spell it if each had one."""
        if self._normalizer is None:
            self._normalizer = sentencepiece.SentencePieceNormalizer(
                model_proto=self.proto, add_dummy_prefix=False, escape_whitespaces=False
            )
        return self._normalizer.normalize(text)

    def _checked(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """The ids, 0 after the last; ValueError, in a graph an error of its run, if one is none."""
        ids = tf.convert_to_tensor(ids)
        ids = tf.where(tf.sequence_mask(lengths, tf.shape(ids)[1]), ids, 0)
        wrong = tf.boolean_mask(ids, tf.logical_or(ids < 0, ids >= self.vocabulary_size))
        expected = f"Expected ids from 0 and below {self.vocabulary_size}. Received: ids="
        if not tf.executing_eagerly():
            # SentencePiece's operations end the process for such an id: they wait for this.
            with tf.control_dependencies(
                [tf.debugging.Assert(tf.equal(tf.size(wrong), 0), [expected, wrong[:1]])]
            ):
                ids = tf.identity(ids)
        elif len(wrong):
            raise ValueError(f"{expected}{wrong[0].numpy()}")
        return ids

    def tokenize_all(self, texts: Sequence[str], chunk: int = 10_000) -> list[Any]:
        """Many Python strings to a list of int32 arrays, outside any graph."""
        rows = []
        for start in range(0, len(texts), chunk):
            ragged = self._tokenizer.tokenize(tf.constant(texts[start : start + chunk]))
            splits = ragged.row_splits.numpy()[1:-1]
            rows += [row for row in _split(ragged.values.numpy(), splits)]
        return rows


def _split(values: Any, at: Any) -> Iterator[Any]:
    start = 0
    for end in (*at, len(values)):
        yield values[start:end]
        start = end
