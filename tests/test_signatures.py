"""What the signatures answer, before any export."""

import numpy as np
import pytest
import sentencepiece
import tensorflow as tf

from keras_attention.exporting import search_signatures
from keras_attention.exporting.signatures import TextSignatures, decode_ids
from tests.tiny_run import trained, trained_model

MAX_LENGTH = 11
TEXTS = ["3 May 2021", "", "１７ aug 2004", "~ 日 1"]


@pytest.fixture(scope="module")
def signatures():
    return TextSignatures(trained_model(), *trained().tokenizers(), MAX_LENGTH)


@pytest.fixture(scope="module")
def answer(signatures):
    return {name: value.numpy() for name, value in signatures.answer(TEXTS).items()}


def test_pieces_and_alignment_belong_together(answer):
    source = [[p.decode() for p in row if p] for row in answer["source_pieces"]]
    assert source[0] == ["3", "▁", "m", "a", "y", "▁", "2", "0", "2", "1"]
    assert source[1] == []
    assert source[2] == ["1", "7", "▁", "a", "u", "g", "▁", "2", "0", "0", "4"]
    assert source[3] == ["<unk>", "▁", "<unk>", "▁", "1"]
    rows, columns = answer["target_pieces"].shape[1], answer["source_pieces"].shape[1]
    assert answer["alignment"].shape == (len(TEXTS), rows, columns)
    kept = (answer["target_pieces"] != b"")[..., None] & (answer["source_pieces"] != b"")[:, None]
    assert (answer["alignment"][~kept] == 0).all()
    sums = answer["alignment"].sum(axis=-1)
    expected = (answer["target_pieces"] != b"") & (answer["source_pieces"] != b"").any(
        axis=1, keepdims=True
    )
    np.testing.assert_allclose(sums, expected, atol=1e-5)


def test_the_text_is_that_of_the_pieces(answer):
    for text, pieces in zip(answer["text"], answer["target_pieces"], strict=True):
        assert text == b"".join(pieces).replace("▁".encode(), b" ")


def test_the_score_of_an_answer(signatures, answer):
    """It has the end in it, which the score of an answer has not where that is cut off."""
    scores = signatures.score(TEXTS, answer["text"])["score"].numpy()
    cut = (answer["target_pieces"] != b"").sum(axis=1) == MAX_LENGTH
    np.testing.assert_allclose(scores[~cut], answer["score"][~cut], rtol=1e-4)
    assert (scores[cut] < answer["score"][cut]).all()
    np.testing.assert_array_equal(answer["finished"], ~cut)


def test_answers_that_were_cut_off_are_not_finished():
    """The log-probability of an answer has its end in it; of one that was cut off it has not."""
    model, ids = trained_model(), np.random.default_rng(0).integers(4, 20, (13, 7)).astype("int32")
    settings = {"seed": np.arange(13, dtype="int32"), "temperature": np.float32([5.0])}
    settings["max_length"] = np.array([8, 3] * 6 + [1], "int32")
    arguments = model, ids, ids != 0
    drawn = search_signatures.sample(*arguments, settings, None, max_length=8)
    limits = {"max_length": settings["max_length"]}
    best = search_signatures.beam(*arguments, limits, None, max_length=8, beam_width=11, n_best=11)
    best["score"] = best["log_probability"]
    for found in (drawn, *({k: v[:, n] for k, v in best.items()} for n in range(11))):
        whole = model.log_probability(ids, found["ids"], target_lengths=found["lengths"])
        np.testing.assert_array_equal(
            found["finished"], np.isclose(whole, found["score"], rtol=1e-4)
        )
    assert 0 < drawn["finished"].numpy().sum() < 13
    assert 0 < best["finished"].numpy().sum() < 13 * 11


def test_the_score_of_a_pair(signatures):
    """From the logits, with ids that SentencePiece's own module makes."""
    targets = ["2021-05-03", "", "~", "20"]
    encoders = [
        sentencepiece.SentencePieceProcessor(model_proto=tokenizer.proto)
        for tokenizer in trained().tokenizers()
    ]
    expected = []
    for text, target in zip(TEXTS, targets, strict=True):
        source, ids = (e.encode(t) for e, t in zip(encoders, (text, target), strict=True))
        inputs = {"source": np.array([source or [0]]), "target": np.array([[2, *ids]])}
        logits = trained_model()(inputs)[0].numpy().astype("float64")
        gains = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        expected.append(gains[np.arange(len(ids) + 1), [*ids, 3]].sum())
    found = signatures.score(TEXTS, targets)["score"].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_batch_is_as_its_texts_alone(signatures, answer):
    for i, text in enumerate(TEXTS):
        alone = signatures.answer([text])
        assert alone["text"].numpy()[0] == answer["text"][i]
        np.testing.assert_allclose(alone["score"].numpy()[0], answer["score"][i], rtol=1e-5)


@pytest.mark.parametrize("garbage", ["first", "random", "zero"])
def test_what_stands_beyond_lengths_changes_nothing(garbage):
    """TensorFlow Serving fills up with copies of the first element."""
    ids = np.random.default_rng(0).integers(4, 20, (5, 7))
    lengths = np.array([7, 1, 4, 0, 6])
    beyond = np.arange(7) >= lengths[:, None]
    others = {"first": ids[:, :1], "random": ids[::-1], "zero": 0}
    found = decode_ids(trained_model(), np.where(beyond, others[garbage], ids), lengths, MAX_LENGTH)
    for i, length in enumerate(lengths):
        source = tf.constant(ids[i : i + 1, : max(length, 1)])
        alone = decode_ids(trained_model(), source, lengths[i : i + 1], MAX_LENGTH)
        count = int(alone["lengths"][0])
        assert found["lengths"][i] == count
        np.testing.assert_array_equal(found["ids"][i, :count], alone["ids"][0, :count])
        np.testing.assert_allclose(found["score"][i], alone["score"][0], rtol=1e-5)
        np.testing.assert_array_equal(found["alignment"][i, :, length:], 0)


def test_answers_are_as_long_as_the_longest(answer):
    assert answer["target_pieces"].shape[1] == max(
        sum(piece != b"" for piece in row) for row in answer["target_pieces"]
    )


def numpy(outputs):
    return {name: value.numpy() for name, value in outputs.items()}


def test_the_best_few_answers(signatures, answer):
    """Of a beam of five: text, pieces and alignment of each, and its log-probability."""
    found = numpy(signatures.beam(TEXTS, length_penalty=[0.5]))
    assert found["text"].shape == (len(TEXTS), 5)
    np.testing.assert_array_equal(found["source_pieces"], answer["source_pieces"])
    kept = found["target_pieces"] != b""
    source = (answer["source_pieces"] != b"")[:, None, None]
    assert (found["alignment"][~(kept[..., None] & source)] == 0).all()
    sums = found["alignment"].sum(axis=-1)
    np.testing.assert_allclose(sums, kept & source.any(axis=-1), atol=1e-5)
    lengths = kept.sum(axis=-1)
    assert kept.shape[2] == lengths.max()
    ended = lengths < MAX_LENGTH
    normalized = found["log_probability"] / ((5 + lengths + ended) / 6) ** 0.5
    np.testing.assert_allclose(found["score"], normalized, rtol=1e-5)
    for n in range(5):
        for text, pieces in zip(found["text"][:, n], found["target_pieces"][:, n], strict=True):
            assert text == b"".join(pieces).replace("▁".encode(), b" ")
        wanted = signatures.score(TEXTS, found["text"][:, n])["score"].numpy()
        same = ended[:, n]
        np.testing.assert_allclose(found["log_probability"][same, n], wanted[same], rtol=1e-4)
    assert all(len(set(row)) == 5 for row in found["text"])
    assert (found["log_probability"][0, 0] >= answer["score"][0] - 1e-5).all()


def test_a_drawn_answer(signatures, answer):
    greedy = numpy(signatures.sample(TEXTS, temperature=[0.0]))
    np.testing.assert_array_equal(greedy["text"], answer["text"])
    np.testing.assert_allclose(greedy["score"], answer["score"], rtol=1e-5)
    seeds = np.arange(20, dtype="int32")
    drawn = numpy(signatures.sample(TEXTS[:1] * 20, seed=seeds, temperature=[1.5]))
    assert len(set(drawn["text"])) > 10
    again = numpy(signatures.sample(TEXTS[:1], seed=seeds[7:8], temperature=[1.5]))
    assert again["text"][0] == drawn["text"][7]


def test_a_prefix_of_the_answer(signatures):
    prefixes = ["1", "", "20", "~"]
    for found in (signatures.beam(TEXTS, prefixes), signatures.sample(TEXTS, prefixes)):
        texts = found["text"].numpy().reshape(len(TEXTS), -1)
        for row, prefix in zip(texts, ("1", "", "20", ""), strict=True):
            assert all(text.decode().startswith(prefix) for text in row)


def test_settings_that_make_no_sense_count_as_the_nearest_that_do(signatures):
    """Also of one example alone: a batch may hold several requests."""
    nan = float("nan")
    usual = numpy(signatures.beam(TEXTS))
    found = signatures.beam(TEXTS, length_penalty=[-5.0], max_length=[9999], min_length=[-1])
    np.testing.assert_array_equal(found["text"], usual["text"])
    found = signatures.beam(
        TEXTS, length_penalty=[nan, 0, 0, 0], repetition_penalty=[-1.0, 1, 1, 1], max_length=[0]
    )
    assert max(map(len, found["text"].numpy().ravel())) <= 5  # one piece
    usual = numpy(signatures.sample(TEXTS))
    found = signatures.sample(TEXTS, temperature=[nan], top_k=[-3], top_p=[7.0], min_p=[nan])
    np.testing.assert_array_equal(found["text"], usual["text"])
    found = signatures.sample(TEXTS, top_p=[0.0, 1, 1, 1], temperature=[-1.0, 1, 1, 1])
    np.testing.assert_array_equal(found["text"][1:], usual["text"][1:])
