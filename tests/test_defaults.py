"""Settings chosen from the training lines, the share held back, advice afterwards."""

import random
import re

import pytest

from keras_attention.text import Tokenizer
from keras_attention.text.corpus import Corpus
from keras_attention.training import defaults
from keras_attention.training.advice import advise
from keras_attention.training.holdout import hold_back
from keras_attention_command.settings import Settings


def numbered(count):
    return Corpus([(f"s{i}", f"t{i}") for i in range(count)], "a.tsv", range(1, count + 1))


def test_kinds_of_vocabularies():
    draw = random.Random(0)
    letters = ["".join(draw.choices("abcdefgh", k=11)) for _ in range(307)]
    assert defaults.choose_kind(["one two three", "three two one"] * 53) == "word"
    assert defaults.choose_kind(letters) == "char"
    assert defaults.choose_kind([" ".join(letters[i : i + 7]) for i in range(300)]) == "word"
    assert (
        defaults.choose_kind([" ".join(letters[i : i + 7]) for i in range(0, 300, 7)]) == "unigram"
    )


@pytest.mark.parametrize(
    ("count", "batch_size", "epochs"),
    [(1, 8, 150), (50, 8, 114), (300, 16, 42), (3_000, 64, 30), (20_000, 128, 16), (10**6, 256, 3)],
)
def test_batches_and_epochs(count, batch_size, epochs):
    assert defaults.choose_batch_size(count) == batch_size
    assert defaults.choose_epochs(count, -(-count // batch_size)) == epochs


def test_what_is_given_is_kept():
    pairs = [("ab", "x y z")] * 11
    given = Settings(source_tokenizer="bpe", source_vocabulary=97, batch_size=13, epochs=7)
    settings, line = defaults.choose_settings(given, pairs)
    assert line == "chosen from 11 pairs: --target-tokenizer word, --target-vocabulary 16000"
    changed = (settings.source_tokenizer, settings.source_vocabulary, settings.batch_size)
    assert (*changed, settings.epochs) == ("bpe", 97, 13, 7)
    assert defaults.choose_settings(settings, pairs) == (settings, "")


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([10] * 199 + [11], 17),
        ([10] * 199 + [10_000], 97),  # 1.5 times 64, and one
        ([101] * 199 + [10_000], 455),  # 1.5 times three times as many
        ([10_000, 7], 97),
        ([0], 1),
    ],
)
def test_the_most_tokens_of_an_answer(lengths, expected):
    assert defaults.choose_max_length(lengths) == expected


def test_long_targets_are_named():
    pairs = numbered(7)
    lines = defaults.warn_of_long_targets(pairs, [1, 99, 2, 3, 98, 97, 96], 13)
    assert lines[0].startswith("a.tsv:2: a target of 99 tokens, where answers have at most 13 ")
    assert [line.split()[0] for line in lines] == ["a.tsv:2:", "a.tsv:5:", "a.tsv:6:", "..."]
    assert defaults.warn_of_long_targets(list(pairs), [1] * 6 + [17], 13)[0].startswith("pair 7: ")


def test_a_share_is_held_back():
    pairs = numbered(307)
    train, dev = hold_back(pairs, 1)
    assert len(dev) == 31 and sorted(train + dev) == sorted(pairs)
    assert train.where(0) == f"a.tsv:{int(train[0][0][1:]) + 1}"
    turned = Corpus(pairs[::-1], "a.tsv", range(307))
    assert sorted(hold_back(turned, 1)[1]) == sorted(dev)
    assert sorted(hold_back(pairs, 2)[1]) != sorted(dev)
    twice = Corpus([*pairs, *pairs], "a.tsv", range(614))
    train, dev = hold_back(twice, 1)
    assert not {source for source, _ in train} & {source for source, _ in dev}
    with pytest.raises(ValueError, match="Expected --dev, or two different sources"):
        hold_back(Corpus([("a", "b")] * 2, "a.tsv", range(2)), 1)


@pytest.mark.parametrize(
    ("losses", "texts", "expected"),
    [
        ([3.0, 2.0, 1.5, 1.25, 1.0], "ab", ["still falling.*--epochs 14"]),
        ([3.0, 1.0, 1.5, 2.0, 3.0], "ab", ["rose from 1.0000, after 2 epochs, to 3.0000"]),
        ([3.0, 2.0, 1.0, 1.0, 1.0], "ab", []),
        ([0.03, 0.009, 0.008, 0.007, 0.006], "ab", []),
        ([1.0, 1.0, 1.0], "aq", ["^50.0% of the source tokens"]),
        ([], "ab", []),
    ],
)
def test_advice(losses, texts, expected):
    tokenizers = [Tokenizer.train(["abx"], "char", 11)] * 2
    found = advise(losses, Settings(epochs=7), tokenizers, [(texts, "x")] * 23)
    assert len(found) == len(expected)
    for line, pattern in zip(found, expected, strict=True):
        assert re.search(pattern, line)
    assert "by 1 development lines alone" in advise([], Settings(), tokenizers, [("a", "b")])[0]
