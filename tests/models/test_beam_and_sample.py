"""Beam search and sampling with real models: their scores, their alignments, their padding."""

import numpy as np
import pytest
from keras import ops

from keras_attention.decoding import Constraints, beam_search, with_repeated_memory
from tests.models.variants import (
    MANY,
    SOURCE_VOCABULARY,
    VARIANTS,
    array,
    ending,
    ids,
    many_sources,
    padded,
)

SEEDS = np.arange(len(MANY))


def n_best(model, source, **options):
    return model.beam_search(source, max_length=5, beam_width=3, n_best=3, **options)


def test_beams_ask_one_memory(variant, model):
    """What a step says of W rows of state for each of the memory, it says of repeated memory."""
    source = many_sources()
    memory = model.prepare(source)
    state = model.initial_state(memory)
    options = {"batch_size": len(source), "start_id": 2, "end_id": 3, "max_length": 5}
    options |= {"beam_width": 3, "n_best": 3}
    wanted = beam_search(with_repeated_memory(model.step), state, memory, **options)
    found = n_best(model, source)
    np.testing.assert_array_equal(array(found.ids), array(wanted.ids))
    np.testing.assert_allclose(array(found.score), array(wanted.score), rtol=1e-5)
    np.testing.assert_allclose(array(found.alignments), array(wanted.alignments), atol=1e-5)
    sums = array(found.alignments).sum(axis=-1)
    lengths = array(found.lengths)[..., None]
    wanted_sums = (np.arange(5) < lengths) & variant.attends
    np.testing.assert_allclose(sums, wanted_sums, atol=1e-5)


def test_the_score_of_each_is_its_log_probability():
    model, source = VARIANTS[0].model(), many_sources()
    with ending(model, 5):
        found = n_best(model, source)
        drawn = model.sample(source, SEEDS, max_length=5)
        for n in range(3):
            assert_scored(model, source, *(x[:, n] for x in found))
        assert_scored(model, source, drawn.ids, drawn.lengths, drawn.score, drawn.score)


def assert_scored(model, source, tokens, lengths, score, log_probability, *_):
    lengths = ops.convert_to_numpy(lengths)
    scores = array(model.log_probability(source, tokens, target_lengths=lengths))
    ended = lengths < 5
    assert ended.any()
    np.testing.assert_allclose(scores[ended], array(log_probability)[ended], rtol=1e-5)
    np.testing.assert_array_equal(array(score), array(log_probability))


def test_padding_changes_nothing():
    """Whatever stands beyond the lengths, and however much of it."""
    model, source = VARIANTS[0].model(), many_sources()
    mask = np.arange(source.shape[1] + 2) < np.array(MANY)[:, None]
    rubbish = ids(mask.shape, SOURCE_VOCABULARY, seed=3)
    wide = np.where(mask, np.pad(source, [[0, 0], [0, 2]]), rubbish)
    options = {"length_penalty": 0.7, "coverage_penalty": 0.3}
    for search in (
        lambda source, **mask: n_best(model, source, **options, **mask),
        lambda source, **mask: model.sample(source, SEEDS, max_length=5, **mask),
    ):
        found, other = search(source), search(wide, source_mask=mask)
        np.testing.assert_array_equal(array(found.ids), array(other.ids))
        np.testing.assert_allclose(array(found.score), array(other.score), rtol=1e-5)
        seen = array(other.alignments)
        np.testing.assert_allclose(array(found.alignments), seen[..., :-2], atol=1e-5)
        np.testing.assert_array_equal(seen[..., -2:], 0)


def test_a_batch_is_as_its_sources_alone():
    model, source = VARIANTS[0].model(), many_sources()
    best, drawn = n_best(model, source), model.sample(source, SEEDS, max_length=5)
    for i in (0, 4):
        one = source[i : i + 1, : MANY[i]]
        alone = n_best(model, one)
        np.testing.assert_array_equal(array(alone.ids)[0], array(best.ids)[i])
        np.testing.assert_allclose(array(alone.score)[0], array(best.score)[i], rtol=1e-5)
        alone = model.sample(one, SEEDS[i : i + 1], max_length=5)
        np.testing.assert_array_equal(array(alone.ids)[0], array(drawn.ids)[i])


def test_answers_are_so_much_longer_than_their_sources_at_most():
    model, source = VARIANTS[0].model(), many_sources()
    usual, model.end_id = model.end_id, -1
    try:
        found = model.decode(source, max_margin=-3, max_length=3)
        np.testing.assert_array_equal(array(found.lengths), np.clip(np.array(MANY) - 3, 1, 3))
        max_lengths = np.resize([1, 9], len(MANY))
        found = model.beam_search(
            source, max_margin=1, max_length=5, max_lengths=max_lengths, beam_width=2
        )
        wanted = np.minimum(np.minimum(np.array(MANY) + 1, max_lengths), 5)
        np.testing.assert_array_equal(array(found.lengths)[:, 0], wanted)
    finally:
        model.end_id = usual


@pytest.mark.parametrize("search", ["decode", "beam_search", "sample"])
def test_constraints_reach_every_search(search):
    model, source = VARIANTS[0].model(), many_sources()
    constraints = Constraints(prefix=padded(ids((len(MANY), 2), 17), [2] * len(MANY)))
    options = {"seeds": SEEDS} if search == "sample" else {}
    found = getattr(model, search)(source, max_length=3, constraints=constraints, **options)
    tokens = array(found.ids).reshape((len(MANY), -1))
    np.testing.assert_array_equal(tokens[:, :2], constraints.prefix)
