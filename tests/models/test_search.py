"""Step by step, all at once and by search: one and the same model."""

import numpy as np
import pytest
from keras import ops

from tests.models.variants import (
    LENGTHS,
    TARGET_VOCABULARY,
    VARIANTS,
    array,
    batch,
    ending,
    ids,
    many_sources,
    padded,
)


def test_step_by_step_is_teacher_forcing(variant, model):
    inputs = batch()
    expected = array(model(inputs))
    memory = model.prepare(inputs["source"])
    state = model.initial_state(memory)
    for t in range(inputs["target"].shape[1]):
        logits, state, weights = model.step(inputs["target"][:, t], state, memory)
        np.testing.assert_allclose(array(logits), expected[:, t], rtol=1e-5, atol=1e-5)
        sums = np.ones(len(LENGTHS)) if variant.attends else np.zeros(len(LENGTHS))
        np.testing.assert_allclose(array(weights).sum(axis=-1), sums, atol=1e-5)


def test_the_score_of_an_answer_is_its_log_probability(model):
    source = many_sources()
    with ending(model, 5):
        found = model.decode(source, max_length=5)
        lengths = ops.convert_to_numpy(found.lengths)
        # By lengths: a model that has learnt nothing may well answer with token 0.
        scores = array(model.log_probability(source, found.ids, target_lengths=lengths))
    ended = lengths < 5
    assert lengths[ended].any()
    np.testing.assert_allclose(scores[ended], array(found.score)[ended], rtol=1e-5, atol=3e-7)
    # What was cut off has no end in its score.
    assert (scores[~ended] < array(found.score)[~ended]).all()


def test_the_log_probability_is_the_sum_over_tokens_and_end(model):
    source = batch()["source"]
    lengths = (3, 0, 2)
    target = padded(ids((3, 3), TARGET_VOCABULARY, seed=7), lengths)
    found = array(model.log_probability(source, target))
    for i, length in enumerate(lengths):
        tokens = target[i : i + 1, :length]
        inputs = np.concatenate([[[2]], tokens], axis=1)
        logits = array(model({"source": source[i : i + 1], "target": inputs}))[0]
        gains = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        labels = [*tokens[0], 3]
        expected = gains[np.arange(length + 1), labels].sum()
        np.testing.assert_allclose(found[i], expected, rtol=1e-5)


def test_what_stands_beyond_target_lengths_does_not_matter(model):
    source = batch()["source"]
    lengths = np.array((3, 0, 2))
    tokens = ids((3, 3), TARGET_VOCABULARY, seed=7)
    clean = array(model.log_probability(source, padded(tokens, lengths)))
    dirty = array(model.log_probability(source, tokens, target_lengths=lengths))
    np.testing.assert_allclose(dirty, clean, rtol=1e-6)
    assert (np.abs(array(model.log_probability(source, tokens)) - clean)[1:] > 0.1).all()


def test_the_log_probabilities_of_all_targets_sum_to_one():
    """Over all targets of at most one token, and those that go on."""
    model = VARIANTS[0].model()
    source = np.repeat(batch()["source"][:1], TARGET_VOCABULARY, axis=0)
    every = np.arange(TARGET_VOCABULARY)[:, None]
    start = np.full((TARGET_VOCABULARY, 1), 2)
    logits = array(model({"source": source, "target": np.concatenate([start, every], axis=1)}))
    gains = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    ones = np.ones(TARGET_VOCABULARY, "int32")
    found = array(model.log_probability(source, every, target_lengths=ones))
    np.testing.assert_allclose(found, gains[:, 0].diagonal() + gains[:, 1, 3], rtol=1e-5)


@pytest.mark.parametrize("max_length", [1, 2, 11])
def test_a_longer_search_goes_on_where_a_shorter_is_cut_off(max_length):
    model, source = VARIANTS[0].model(), batch()["source"]
    long, short = model.decode(source, max_length=11), model.decode(source, max_length=max_length)
    np.testing.assert_array_equal(array(short.ids), array(long.ids)[:, :max_length])
    np.testing.assert_array_equal(array(short.lengths), np.minimum(array(long.lengths), max_length))


def test_the_state_that_asks_is_the_hidden_state_of_the_top_layer():
    """Of the four states of two layers of LSTMs, the weights of a step depend on one."""
    model = VARIANTS[3].model()
    memory = model.prepare(batch()["source"])
    state = model.initial_state(memory)
    assert len(state) == 4
    token = ops.convert_to_tensor([5, 6, 7])
    usual = array(model.step(token, state, memory)[2])
    asks = []
    for i in range(4):
        other = [x + 1.0 if i == j else x for j, x in enumerate(state)]
        weights = array(model.step(token, other, memory)[2])
        asks.append(np.abs(weights - usual).max() > 1e-3)
    assert asks == [False, False, True, False]
