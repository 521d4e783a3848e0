"""Vocabularies learned from texts, by SentencePiece."""

import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sentencepiece

PAD_ID, UNKNOWN_ID, START_ID, END_ID = 0, 1, 2, 3
SPECIAL = 4
KINDS = ("char", "word", "unigram", "bpe")
NORMALIZATIONS = ("nfkc", "nfkc_cf", "nmt_nfkc", "nmt_nfkc_cf", "identity")

# SentencePiece skips a line that has more bytes than its option allows: never one of these.
_LONGEST_LINE = 2**30  # the most that it takes
# Subwords are learned inside words, in time that grows with the square of a word: longer texts are
# handed over in parts, which changes nothing where they have blanks.
_LONGEST_PART = 2_000
_LONGEST_WORD = 7_900  # bytes; SentencePiece has no token for a longer one
# SentencePiece's own mark of unknown text: it skips the lines that have one.
_RESERVED = "\u2585"
_BLANK = "\u2581"  # as it spells it


def learn_vocabulary(
    texts: Iterable[str],
    kind: str,
    vocabulary_size: int,
    normalization: str,
    symbols: Sequence[str],
) -> bytes:
    """Learns a vocabulary; arguments and errors as those of `Tokenizer.train`.

    Returns:
        A serialized SentencePiece model.
    """
    for name, value, known in (
        ("kind", kind, KINDS),
        ("normalization", normalization, NORMALIZATIONS),
    ):
        if value not in known:
            raise ValueError(f"Expected {name} to be one of {known}. Received: {name}={value!r}")
    subwords = kind in ("unigram", "bpe")  # which have a blank in any case
    smallest = SPECIAL + len(symbols) + 1 + subwords
    if vocabulary_size < smallest:
        raise ValueError(
            f"Expected vocabulary_size >= {smallest}: padding, unknown, start, end"
            f"{', the symbols' * bool(symbols)}{', a blank' * subwords} and one more. "
            f"Received: vocabulary_size={vocabulary_size}"
        )
    texts = [text.replace(_RESERVED, " ") for text in texts]
    if not texts:
        raise ValueError("Expected at least one text. Received: none")
    if not any(text.strip() for text in texts):
        raise ValueError(
            f"Expected texts that fill a {kind} vocabulary. Received: blank texts alone"
        )
    options = {
        "vocab_size": vocabulary_size,
        "normalization_rule_name": normalization,
        "remove_extra_whitespaces": normalization != "identity",
        # A blank before the first word makes it the same word as elsewhere. Where blanks count,
        # there must be none: TensorFlow Text takes away all that a text begins with, then.
        "add_dummy_prefix": kind != "char" and normalization != "identity",
        "user_defined_symbols": list(symbols),
    }
    if kind == "word":
        texts = [_short_words(text) for text in texts]
        if not any(text.strip() for text in texts):
            raise ValueError(
                f"Expected words of at most {_LONGEST_WORD} bytes, with blanks between; the kinds "
                "char, unigram and bpe need none. Received: longer ones alone"
            )
    try:
        return (_train_subwords if subwords else _train)(texts, kind, options)
    except (RuntimeError, OSError) as error:
        rest = " ".join(texts)
        for symbol in symbols:
            rest = rest.replace(symbol, "")
        if not rest.strip():
            raise ValueError(
                f"Expected texts with more than symbols in them. Received: symbols={symbols}"
            ) from None
        raise ValueError(
            f"Expected texts that fill a {kind} vocabulary. "
            f"Received: vocabulary_size={vocabulary_size}; SentencePiece says: {error}"
        ) from None


def _train(texts: Iterable[str], kind: str, options: dict[str, Any]) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(texts),
        model_writer=model,
        model_type=kind,
        hard_vocab_limit=False,  # at most so many
        use_all_vocab=False,
        character_coverage=1.0,
        max_sentence_length=_LONGEST_LINE,
        pad_id=PAD_ID,
        unk_id=UNKNOWN_ID,
        bos_id=START_ID,
        eos_id=END_ID,
        num_threads=1,  # the same vocabulary every time
        minloglevel=2,
        **options,
    )
    return model.getvalue()


def _train_subwords(texts: Iterable[str], kind: str, options: dict[str, Any]) -> bytes:
    """As `_train`, of the commonest characters alone where there is no room for all."""
    parts = list(itertools.chain.from_iterable(map(_parts, texts)))
    try:
        return _train(parts, kind, options)
    except RuntimeError:
        known = _train(texts, "char", {**options, "vocab_size": 2**21})
        characters = sentencepiece.SentencePieceProcessor(model_proto=known)
        first = SPECIAL + len(options["user_defined_symbols"])
        room = options["vocab_size"] - first - 1  # beside the blank, which there must be
        found = [characters.id_to_piece(i) for i in range(first, characters.vocab_size())]
        found = [character for character in found if character != _BLANK]  # the commonest first
        if len(found) <= room:
            raise
        kept = set(found[:room])
        normalizer = sentencepiece.SentencePieceNormalizer(
            model_proto=known, escape_whitespaces=False
        )
        return _train(
            (
                "".join(c if c in kept else " " for c in normalizer.normalize(part))
                for part in parts
            ),
            kind,
            options,
        )


def _parts(text: str) -> Iterator[str]:
    """`text` in parts of at most `_LONGEST_PART` characters that begin with a blank if possible."""
    start = 0
    while len(text) - start > _LONGEST_PART:
        end = start + _LONGEST_PART
        blank = text.rfind(" ", start + 1, end)
        end = end if blank < 0 else blank
        yield text[start:end]
        start = end
    yield text[start:]


def _short_words(text: str) -> str:
    """`text` without the words that are too long to be tokens."""
    if 4 * len(text) <= _LONGEST_WORD:
        return text
    return " ".join(word for word in text.split(" ") if len(word.encode()) <= _LONGEST_WORD)
