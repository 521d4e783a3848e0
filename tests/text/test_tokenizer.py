import numpy as np
import pytest
import sentencepiece
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_attention.text import Tokenizer

TEXTS = ["Jan 2020 was cold", "mar 1999 was warm", "straße 7 was cold", "may 2019 was fine"] * 5
SIZES = {"char": 100, "word": 100, "unigram": 31, "bpe": 40}
KINDS = list(SIZES)


@pytest.fixture(scope="module")
def tokenizers():
    return {kind: Tokenizer.train(TEXTS, kind, SIZES[kind], "nfkc_cf") for kind in KINDS}


@pytest.fixture(params=KINDS)
def tokenizer(request, tokenizers):
    return tokenizers[request.param]


def pieces(tokenizer, text):
    ids, lengths = tokenizer.tokenize([text])
    found = tokenizer.pieces(ids, lengths).numpy()[0]
    return [p.decode() for p in found[: lengths[0]]]


def rows(ids, lengths):
    return [row[:n].tolist() for row, n in zip(ids.numpy(), lengths.numpy(), strict=True)]


def test_kinds(tokenizers):
    text = "was fine"
    assert pieces(tokenizers["char"], text) == ["w", "a", "s", "▁", "f", "i", "n", "e"]
    assert pieces(tokenizers["word"], text) == ["▁was", "▁fine"]
    assert "".join(pieces(tokenizers["unigram"], text)) == "▁was▁fine"
    assert pieces(tokenizers["bpe"], text)[0] == "▁was"


def test_characters_and_words_are_all_there(tokenizers):
    seen = set("".join(TEXTS).lower()) - {" "} | {"▁"}
    assert tokenizers["char"].vocabulary_size == len(seen) + 4
    words = set(" ".join(TEXTS).lower().split())
    assert tokenizers["word"].vocabulary_size == len(words) + 4
    assert tokenizers["bpe"].vocabulary_size == 40


def test_a_text_comes_back(tokenizer):
    texts = ["jan 2019 was cold", "", "may", "straße 7"]
    ids, lengths = tokenizer.tokenize(texts)
    assert [t.decode() for t in tokenizer.detokenize(ids, lengths).numpy()] == texts


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("ＪＡＮ　２０２０", "jan 2020"),  # full width
        ("ﬁne", "fine"),  # a ligature
        ("  jan \u00a0 2020 ", "jan 2020"),  # blanks, one of them not to break at
        ("MAR", "mar"),
    ],
)
def test_normalization(tokenizer, text, same_as):
    assert pieces(tokenizer, text) == pieces(tokenizer, same_as) != []


def test_normalization_without_case_folding():
    tokenizer = Tokenizer.train(TEXTS, "char", 100, "nfkc")
    assert pieces(tokenizer, "Jan") == ["J", "a", "n"]
    assert pieces(tokenizer, "Ｊan ﬁ ß") == ["J", "a", "n", "▁", "f", "i", "▁", "ß"]
    assert pieces(Tokenizer.train(TEXTS, "char", 100, "identity"), "Ｊ") == ["<unk>"]


def test_blanks_that_nfkc_keeps_are_unknown_unless_the_rule_is_nmt():
    assert pieces(Tokenizer.train(TEXTS, "char", 100, "nfkc"), "a\n") == ["a", "<unk>"]
    assert pieces(Tokenizer.train(TEXTS, "char", 100, "nmt_nfkc"), "\ta\n") == ["a"]


def test_unknown_characters(tokenizers):
    ids, lengths = tokenizers["char"].tokenize(["was 日本"])
    assert rows(ids, lengths)[0][-1] == 1
    assert pieces(tokenizers["char"], "was 日本") == ["w", "a", "s", "▁", "<unk>"]


@pytest.mark.parametrize("text", ["", " ", "\u3000\u00a0"])
def test_nothing_is_one_step_of_padding(tokenizer, text):
    ids, lengths = tokenizer.tokenize([text])
    np.testing.assert_array_equal(ids, [[0]])
    np.testing.assert_array_equal(lengths, [0])
    assert tokenizer.detokenize(ids, lengths).numpy().tolist() == [b""]
    assert tokenizer.pieces(ids, lengths).numpy().tolist() == [[b""]]


def test_no_text_at_all(tokenizer):
    ids, lengths = tokenizer.tokenize(tf.constant([], tf.string))
    assert (ids.shape, lengths.shape) == ((0, 1), (0,))


def test_what_stands_beyond_the_length_is_no_text(tokenizers):
    ids = tf.constant([[9, 8, 7], [6, 5, 4]])
    tokenizer = tokenizers["char"]
    lengths = tf.constant([3, 1])
    assert tokenizer.pieces(ids, lengths).numpy()[1].tolist()[1:] == [b"", b""]
    alone = tokenizer.detokenize(ids[1:, :1], [1])
    assert tokenizer.detokenize(ids, lengths)[1] == alone[0]


def test_padding_and_dtypes(tokenizers):
    ids, lengths = tokenizers["char"].tokenize(["was", "a", "waswa"])
    assert (ids.dtype, lengths.dtype) == (tf.int32, tf.int32)
    np.testing.assert_array_equal(lengths, [3, 1, 5])
    np.testing.assert_array_equal(ids.numpy() == 0, np.arange(5) >= np.array([[3], [1], [5]]))


def test_symbols_are_one_token_each():
    symbols = ("2020", "jan")
    # SentencePiece does not count the characters of symbols: a "j" has to be seen elsewhere, too.
    tokenizer = Tokenizer.train([*TEXTS, "jul"], "char", 100, "nfkc_cf", symbols)
    assert pieces(tokenizer, "Jan 2020") == ["jan", "▁", "2020"]
    assert pieces(tokenizer, "20201") == ["2020", "1"]
    assert pieces(tokenizer, "ja 202") == ["j", "a", "▁", "2", "0", "2"]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_the_graph_does_what_sentencepiece_does(tokenizers, texts):
    # A blank mark in a text is a blank; NUL ends a text in SentencePiece's Python module alone.
    texts = [text.replace("\0", " ") for text in texts]
    for tokenizer in tokenizers.values():
        processor = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.proto)
        expected = [processor.encode(text) for text in texts]
        ids, lengths = tokenizer.tokenize(texts)
        assert rows(ids, lengths) == expected
        assert [row.tolist() for row in tokenizer.tokenize_all(texts)] == expected
        found = [t.decode() for t in tokenizer.detokenize(ids, lengths).numpy()]
        assert found == [processor.decode(row) for row in expected]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_many_texts_in_chunks(tokenizers, count):
    tokenizer = tokenizers["char"]
    texts = ["was", "", "a", "cold", "fine", "", "may"][:count]
    found = tokenizer.tokenize_all(texts, chunk=3)
    assert [row.tolist() for row in found] == [
        tokenizer.tokenize_all([t])[0].tolist() for t in texts
    ]
    assert [len(row) for row in found] == [len(t) for t in texts]


def test_in_a_graph_of_unknown_batch(tokenizer):
    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def there_and_back(texts):
        return tokenizer.detokenize(*tokenizer.tokenize(texts))

    for texts in (["jan"], ["", "was cold", "may"], []):
        found = there_and_back(tf.constant(texts, tf.string)).numpy().tolist()
        assert found == [text.encode() for text in texts]


def test_save_and_load(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "source.model")
    again = Tokenizer.load(tmp_path / "source.model")
    assert again.proto == tokenizer.proto
    assert pieces(again, "was cold") == pieces(tokenizer, "was cold")


def test_training_twice_gives_the_same(tokenizer, tokenizers):
    (kind,) = [k for k, t in tokenizers.items() if t is tokenizer]
    assert Tokenizer.train(iter(TEXTS), kind, SIZES[kind], "nfkc_cf").proto == tokenizer.proto


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "syllable"}, "kind to be one of .*kind='syllable'"),
        ({"normalization": "nfd"}, "normalization to be one of .*normalization='nfd'"),
        ({"texts": []}, "at least one text. Received: none"),
        ({"texts": ["", "  "]}, "texts that fill a char vocabulary"),
        ({"vocabulary_size": 0}, "vocabulary_size=0"),
        ({"vocabulary_size": 3}, "vocabulary_size=3"),
        ({"kind": "unigram", "vocabulary_size": 5}, "vocabulary_size >= 6.*vocabulary_size=5"),
        ({"symbols": ["20"], "texts": ["20", "2020"]}, "more than symbols in them"),
        ({"symbols": ["a", "b"], "vocabulary_size": 6}, "vocabulary_size >= 7: .*the symbols"),
        ({"kind": "word", "texts": ["Q" * 7901]}, "words of at most 7900 bytes"),
        ({"symbols": ["20", "20"]}, "20 is already defined"),
        ({"symbols": ["<s>"]}, "start and end are tokens 0, 1, 2 and 3"),
    ],
)
def test_what_cannot_be_trained(arguments, message):
    usual = {"texts": TEXTS, "kind": "char", "vocabulary_size": 100}
    with pytest.raises(ValueError, match=message):
        Tokenizer.train(**{**usual, **arguments})


@pytest.mark.parametrize("kind", KINDS)
def test_long_texts_are_learned_from(kind):
    for long in ("Q" * 4193, "Q " * 70_001, "\u2585" + "Q" * 17):
        tokenizer = Tokenizer.train([long, "abc"], kind, 40)
        short = ["Q" if kind != "word" else long.strip().split(" ")[0].lstrip("\u2585"), "abc"]
        ids, _ = tokenizer.tokenize(short)
        assert not np.any(ids.numpy() == 1), long[:9]


@pytest.mark.parametrize("kind", KINDS)
def test_a_size_is_the_most_tokens_there_are(kind):
    tokenizer = Tokenizer.train(TEXTS, kind, 5000)
    assert 10 < tokenizer.vocabulary_size < 150
    texts = ["Jan 2019 was cold", "straße"]
    words = [text for text in texts if kind != "word"] or ["Jan 2019 was cold"]
    found = tokenizer.detokenize(*tokenizer.tokenize(words)).numpy()
    assert [text.decode() for text in found] == words


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_the_commonest_characters_are_kept_where_there_is_no_room_for_all(kind):
    tokenizer = Tokenizer.train(["aaaa bbb cc d"] * 7, kind, 8)
    assert tokenizer.vocabulary_size <= 8
    ids, lengths = tokenizer.tokenize(["aabb d"])
    assert tokenizer.detokenize(ids, lengths).numpy()[0].decode() == "aabb  \u2047 "


@pytest.mark.parametrize("kind", KINDS)
def test_identity_keeps_every_blank(kind):
    texts = ["  indented  two", "a", " b ", "tab\tx", "x\u00a0y", "\u3000z", "a\u0308 \ufb01", " "]
    tokenizer = Tokenizer.train(texts * 3, kind, 97, "identity")
    found = tokenizer.detokenize(*tokenizer.tokenize(texts)).numpy()
    assert [text.decode() for text in found] == texts
    assert [tokenizer.normalize(text) for text in texts] == texts


def test_normalize():
    tokenizer = Tokenizer.train(TEXTS, "word", 100, "nfkc_cf")
    assert tokenizer.normalize("  \uff2aan  2020 e\u0301") == "jan 2020 \u00e9"


@pytest.mark.parametrize("proto", [b"", b"nothing of the kind"])
def test_what_is_no_model(proto):
    with pytest.raises(ValueError, match="serialized SentencePiece model"):
        Tokenizer(proto)


def test_a_model_with_other_special_tokens(tmp_path):
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(TEXTS),
        model_prefix=str(tmp_path / "usual"),
        model_type="char",
        vocab_size=20,
        minloglevel=2,
    )
    with pytest.raises(ValueError, match=r"0, 1, 2 and 3. Received: \(-1, 0, 1, 2\)"):
        Tokenizer.load(tmp_path / "usual.model")


@pytest.mark.parametrize("bad", [-1, 100])
def test_ids_that_are_no_tokens(bad):
    tokenizer = Tokenizer.train(TEXTS, "char", 100)
    ids, lengths = tokenizer.tokenize(TEXTS[:2])
    beyond = tf.concat([ids, tf.fill((2, 1), bad)], axis=1)
    assert (
        (tokenizer.detokenize(beyond, lengths) == tokenizer.detokenize(ids, lengths)).numpy().all()
    )
    for function in (tokenizer.detokenize, tokenizer.pieces):
        with pytest.raises(ValueError, match=rf"Expected ids from 0 .* Received: ids={bad}"):
            function(tf.constant([[5, bad]]), tf.constant([2]))
        with pytest.raises(tf.errors.InvalidArgumentError, match="ids="):
            tf.function(function)(tf.constant([[5, bad]]), tf.constant([2]))
