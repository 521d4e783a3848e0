"""SentencePiece inside the graph."""

import hashlib
import io
import itertools
from pathlib import Path

import sentencepiece
import tensorflow as tf
import tensorflow_text

PAD_ID, UNKNOWN_ID, START_ID, END_ID = 0, 1, 2, 3
KINDS = ("char", "word", "unigram", "bpe")
NORMALIZATIONS = ("nfkc", "nfkc_cf", "nmt_nfkc", "nmt_nfkc_cf", "identity")


class Tokenizer(tf.Module):
    """Text to tokens and back, by a SentencePiece model and inside the graph.

    Normalisation (NFKC, folding of case if asked for, blanks) is part of the model: what the
    server does to a text is what training did. Tokens 0 to 3 are padding, unknown, start, end.

    Args:
        proto: a serialized SentencePiece model, as `Tokenizer.train` makes it.

    Raises:
        ValueError: the model is none, or has other special tokens.
    """

    def __init__(self, proto):
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
        # Resources of one name are one resource to `tf.saved_model.load`, in a whole process.
        self._tokenizer = tensorflow_text.SentencepieceTokenizer(
            model=proto,
            out_type=tf.int32,
            name=f"sentencepiece_{hashlib.sha256(proto).hexdigest()}",
        )

    @classmethod
    def train(cls, texts, kind="unigram", vocabulary_size=8000, normalization="nfkc", symbols=()):
        """Makes a vocabulary from texts.

        Args:
            texts: iterable of strings.
            kind: `"char"` or `"word"`, every character or word seen (the commonest
                `vocabulary_size` of them); `"unigram"` or `"bpe"`, subwords.
            vocabulary_size: number of tokens, the four special ones included.
            normalization: SentencePiece's name of the rule; `"nfkc_cf"` folds case, too.
            symbols: strings that are one token each, always.

        Raises:
            ValueError: unknown kind or normalization, no text, a size the texts cannot fill.
        """
        for name, value, known in (
            ("kind", kind, KINDS),
            ("normalization", normalization, NORMALIZATIONS),
        ):
            if value not in known:
                raise ValueError(
                    f"Expected {name} to be one of {known}. Received: {name}={value!r}"
                )
        texts = iter(texts)
        first = next(texts, None)
        if first is None:
            raise ValueError("Expected at least one text. Received: none")
        whole_units = kind in ("char", "word")
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.Train(
                sentence_iterator=itertools.chain([first], texts),
                model_writer=model,
                model_type=kind,
                vocab_size=vocabulary_size,
                hard_vocab_limit=not whole_units,
                use_all_vocab=False,
                character_coverage=1.0,
                normalization_rule_name=normalization,
                add_dummy_prefix=kind != "char",
                user_defined_symbols=list(symbols),
                pad_id=PAD_ID,
                unk_id=UNKNOWN_ID,
                bos_id=START_ID,
                eos_id=END_ID,
                num_threads=1,  # the same vocabulary every time
                minloglevel=2,
            )
        except (RuntimeError, OSError) as error:
            raise ValueError(
                f"Expected texts that fill a {kind} vocabulary. "
                f"Received: vocabulary_size={vocabulary_size}; SentencePiece says: {error}"
            ) from None
        return cls(model.getvalue())

    @classmethod
    def load(cls, path):
        """Reads a model written by `save` or by SentencePiece."""
        return cls(Path(path).read_bytes())

    def save(self, path):
        Path(path).write_bytes(self.proto)

    def tokenize(self, texts):
        """String `(B,)` to ids int32 `(B, T)`, T >= 1, 0 after the last, and lengths `(B,)`."""
        ragged = self._tokenizer.tokenize(texts)
        ids = ragged.to_tensor(default_value=PAD_ID)
        missing = tf.maximum(1 - tf.shape(ids)[1], 0)  # recurrent layers want one step at least
        ids = tf.pad(ids, [[0, 0], [0, missing]], constant_values=PAD_ID)
        return ids, tf.cast(ragged.row_lengths(), tf.int32)

    def detokenize(self, ids, lengths):
        """Ids `(B, T)` and lengths `(B,)` to string `(B,)`."""
        return self._tokenizer.detokenize(tf.RaggedTensor.from_tensor(ids, lengths=lengths))

    def pieces(self, ids, lengths):
        """The text of each token, string `(B, T)`, empty after the last."""
        kept = tf.sequence_mask(lengths, tf.shape(ids)[1])
        return tf.where(kept, self._tokenizer.id_to_string(ids), "")

    def tokenize_all(self, texts, chunk=10_000):
        """Many Python strings to a list of int32 arrays, outside any graph."""
        rows = []
        for start in range(0, len(texts), chunk):
            ragged = self._tokenizer.tokenize(tf.constant(texts[start : start + chunk]))
            splits = ragged.row_splits.numpy()[1:-1]
            rows += [row for row in _split(ragged.values.numpy(), splits)]
        return rows


def _split(values, at):
    start = 0
    for end in (*at, len(values)):
        yield values[start:end]
        start = end
