import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_attention.exporting.signatures import TextSignatures
from keras_attention.text import Tokenizer
from keras_attention.training.evaluation import (
    Quality,
    answer_all,
    edit_distance,
    quality,
    targets_by_source,
)
from tests.tiny_run import DEV, quiet, trained, trained_model


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [
        ("", "", 0),
        ("abc", "", 3),
        ("", "abc", 3),
        ("kitten", "sitting", 3),
        ("flaw", "lawn", 2),
        ("2021-05-03", "2021-03-05", 2),
        ("日本", "日木", 1),
        ([1, 2, 3], [2, 3, 4], 2),
    ],
)
def test_edit_distance(a, b, distance):
    assert edit_distance(a, b) == distance


@given(*[st.text("abc", max_size=6)] * 3)
def test_edit_distance_is_a_distance(a, b, c):
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))


def test_quality():
    answers = ["abc", "ab", "x", ""]
    references = [["abc"], ["xyz", "abd"], ["xyzxyz", "yx"], ["12345"]]
    # Right: 1 of 4. Errors: 0 of 3, 1 of 3, 1 of 2, 5 of 5.
    assert quality(answers, references) == Quality(1 / 4, 7 / 13, 4)
    assert quality(["a"], [["b", "a"]]) == Quality(1.0, 0.0, 1)


def test_quality_under_a_normalization():
    tokenizer = Tokenizer.train(["Caf\u00e9 au lait"], "char", 29)
    references = [["Cafe\u0301  au lait "], ["\uff23af\u00e9"], ["caf\u00e9"]]
    answers = ["Caf\u00e9 au lait", "Caf\u00e9", "Caf\u00e9"]
    # Targets keep their case: one error of 12 + 4 + 4 characters.
    assert quality(answers, references, tokenizer.normalize) == Quality(2 / 3, 1 / 20, 3)


def test_targets_by_source():
    pairs = [("a", "1"), ("b", "2"), ("a", "3")]
    assert targets_by_source(pairs) == {"a": ["1", "3"], "b": ["2"]}
    assert list(targets_by_source(pairs)) == ["a", "b"]


def test_answers_have_the_order_of_the_texts():
    texts = [source for source, _ in DEV[:7]] + ["", "1", "Jan"]
    tokenizers = trained().tokenizers()
    found = answer_all(trained_model(), tokenizers, texts, 11, batch_size=3, console=quiet())
    expected = TextSignatures(trained_model(), *tokenizers, 11).answer(texts)["text"].numpy()
    assert found == [text.decode() for text in expected]
