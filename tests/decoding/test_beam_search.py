import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.decoding import Constraints, beam_search, greedy, with_repeated_memory
from tests.decoding import beam_oracle
from tests.decoding.beam_oracle import Ranking, allowing
from tests.decoding.tables import (
    STATES,
    counted,
    hashed_oracle,
    hashed_step,
    hashed_tables,
    run,
    table_step,
)

BATCH, VOCABULARY, MEMORY, STEPS, WIDTH = 5, 7, 3, 11, 4
START, END = 2, 3
IDS = {"start_id": START, "end_id": END}
MASK = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]], "bool")


def search(tables, step=hashed_step, **options):
    options = {"beam_width": WIDTH, "n_best": WIDTH, "max_length": STEPS, **IDS, **options}
    return run(beam_search, step, *tables, **options)


def expected(tables, width=WIDTH, n_best=WIDTH, max_lengths=STEPS, rankings=None, allows=None):
    """What the oracle finds: a list for each example."""
    count = len(tables[0])
    max_lengths = np.broadcast_to(max_lengths, count)
    rankings = rankings or [Ranking()] * count
    allows = allows or [beam_oracle.everything] * count
    return [
        beam_oracle.beam_search(
            hashed_oracle(*example), width, n_best, START, END, limit, ranking, allow
        )
        for *example, limit, ranking, allow in zip(
            *tables, max_lengths, rankings, allows, strict=True
        )
    ]


def assert_found(found, wanted):
    """Ids, lengths, scores and alignments of each example are those of the hypotheses wanted."""
    for b, hypotheses in enumerate(wanted):
        for n, hypothesis in enumerate(hypotheses):
            length = len(hypothesis.ids)
            assert tuple(found.ids[b, n, : found.lengths[b, n]]) == hypothesis.ids
            np.testing.assert_allclose(found.score[b, n], hypothesis.score, rtol=1e-5, atol=1e-6)
            log_probability = found.log_probability[b, n]
            wanted_log = hypothesis.log_probability
            np.testing.assert_allclose(log_probability, wanted_log, rtol=1e-5, atol=1e-6)
            if length:
                seen = found.alignments[b, n, :length]
                np.testing.assert_allclose(seen, hypothesis.alignments, rtol=1e-6)
            assert (found.ids[b, n, length:] == 0).all()
            assert (found.alignments[b, n, length:] == 0).all()
        assert (found.score[b, len(hypotheses) :] == -np.inf).all()
        assert (found.log_probability[b, len(hypotheses) :] == -np.inf).all()
        assert (found.lengths[b, len(hypotheses) :] == 0).all()


def rankings(alpha, beta):
    alphas, betas = np.broadcast_to(alpha, BATCH), np.broadcast_to(beta, BATCH)
    return [Ranking(a, b, m) for a, b, m in zip(alphas, betas, MASK, strict=True)]


PER_EXAMPLE = np.array([0.0, 0.3, 0.6, 1.0, 2.0], "float32")


@pytest.mark.parametrize("n_best", [WIDTH, 1])
def test_a_search_is_what_the_oracle_finds(n_best):
    """The oracle never stops early, so that stopping early changes nothing."""
    alphas, betas = np.meshgrid([0, 0.3, 0.6, 1.3, 2], [0, 0.2, 0.7])
    alphas, betas = alphas.ravel(), betas.ravel()
    tables = hashed_tables(1, len(alphas), VOCABULARY, MEMORY)
    mask = np.tile(MASK, (3, 1))
    found = search(
        tables,
        n_best=n_best,
        length_penalty=alphas,
        coverage_penalty=betas,
        memory_mask=mask,
    )
    rankings = [Ranking(*settings) for settings in zip(alphas, betas, mask, strict=True)]
    assert_found(found, expected(tables, n_best=n_best, rankings=rankings))


def test_penalties_and_limits_for_each_example():
    tables = hashed_tables(7, BATCH, VOCABULARY, MEMORY)
    max_lengths = np.array([1, 2, STEPS, 7, 20], "int32")
    found = search(
        tables,
        length_penalty=PER_EXAMPLE,
        coverage_penalty=PER_EXAMPLE[::-1].copy(),
        memory_mask=MASK,
        max_lengths=max_lengths,
    )
    wanted = expected(
        tables,
        max_lengths=np.minimum(max_lengths, STEPS),
        rankings=rankings(PER_EXAMPLE, PER_EXAMPLE[::-1]),
    )
    assert_found(found, wanted)


def test_a_beam_that_is_wide_enough_finds_the_best_of_all():
    alpha, beta = np.array([0, 0.9, 0, 0.9, 2]), np.array([0, 0, 0.4, 0.4, 1])
    tables, limit = hashed_tables(3, BATCH, 5, MEMORY, scale=1.0), 4
    found = search(
        tables,
        beam_width=5**limit,
        n_best=7,
        max_length=limit,
        length_penalty=alpha,
        coverage_penalty=beta,
        memory_mask=MASK,
    )
    wanted = [
        beam_oracle.exhaustive_search(hashed_oracle(*example), 5, START, END, limit, ranking)[:7]
        for *example, ranking in zip(*tables, rankings(alpha, beta), strict=True)
    ]
    assert_found(found, wanted)


def test_a_beam_of_one_is_greedy():
    """In what is found, and in how many steps are run."""
    tables = hashed_tables(1, 23, VOCABULARY, MEMORY)
    step, runs = counted(hashed_step)
    found = search(tables, step, beam_width=1, n_best=1)
    count = len(runs)
    wanted = run(greedy, step, *tables, max_length=STEPS, **IDS)
    assert len(runs) == 2 * count
    np.testing.assert_array_equal(found.ids[:, 0], wanted.ids)
    np.testing.assert_array_equal(found.lengths[:, 0], wanted.lengths)
    np.testing.assert_array_equal(found.alignments[:, 0], wanted.alignments)
    np.testing.assert_allclose(found.score[:, 0], wanted.score, rtol=1e-6)
    np.testing.assert_array_equal(found.score, found.log_probability)
    assert 0 < (wanted.lengths < STEPS).sum() < 23


def test_a_batch_is_as_its_examples_alone():
    tables = hashed_tables(11, BATCH, VOCABULARY, MEMORY)
    options = {"length_penalty": 0.8, "coverage_penalty": 0.3, "n_best": 2}
    together = search(tables, memory_mask=MASK, **options)
    for i in (0, 3):
        one = [table[i : i + 1] for table in tables]
        alone = search(one, memory_mask=MASK[i : i + 1], **options)
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a[i], b[0], rtol=1e-6)


def test_the_score_of_what_has_ended_never_changes():
    """It is that of the hypothesis alone, however far the search goes on after its end."""
    examples = 7
    ranking = Ranking(0.9, 0.3, MASK[1])
    tables = hashed_tables(2, examples, VOCABULARY, MEMORY)
    # Each example with every limit.
    max_lengths = np.tile(np.arange(1, STEPS + 1), examples)
    found = search(
        [np.repeat(t, STEPS, axis=0) for t in tables],
        length_penalty=ranking.alpha,
        coverage_penalty=ranking.beta,
        memory_mask=np.repeat(MASK[1:2], len(max_lengths), axis=0),
        max_lengths=max_lengths,
    )
    searches = {}
    for i, limit in enumerate(max_lengths):
        for ids, length, score in zip(*(x[i] for x in found[:3]), strict=True):
            if length < limit:
                tokens = tuple(int(x) for x in ids[:length])
                searches.setdefault((i // STEPS, tokens), []).append(score)
    assert max(map(len, searches.values())) > 4
    for (example, tokens), scores in searches.items():
        after = hashed_oracle(*(t[example] for t in tables))
        steps = [after((START, *tokens[:t])) for t in range(len(tokens) + 1)]
        total = sum(log_p[x] for (log_p, _), x in zip(steps, (*tokens, END), strict=True))
        wanted = ranking.score(total, len(steps), [seen for _, seen in steps])
        np.testing.assert_allclose(scores, wanted, rtol=1e-5)
        # A softmax may round the rows of a batch differently.
        np.testing.assert_allclose(scores, scores[0], rtol=1e-6)


def test_the_search_stops_when_nothing_can_win_any_more():
    """All end after one token with probability near 1; what might go on is far behind."""
    logits = np.zeros((BATCH, STEPS, VOCABULARY), "float32")
    logits[:, 0, END], logits[:, 1, END] = -20, 20
    tables = logits, np.ones((BATCH, STEPS, MEMORY), "float32")
    step, runs = counted(with_repeated_memory(table_step))
    found = search(tables, step, length_penalty=1.0)
    assert len(runs) == 2
    np.testing.assert_array_equal(found.lengths, np.ones((BATCH, WIDTH)))


def test_a_vocabulary_smaller_than_the_beam():
    tables = hashed_tables(5, BATCH, 5, MEMORY)
    found = search(tables, beam_width=13, n_best=13, max_length=3)
    assert_found(found, expected(tables, 13, 13, max_lengths=3))


def test_fewer_sequences_than_are_asked_for():
    tables = hashed_tables(5, BATCH, 5, MEMORY)
    found = search(tables, beam_width=13, n_best=13, max_length=1)
    wanted = expected(tables, 13, 13, max_lengths=1)
    assert [len(hypotheses) for hypotheses in wanted] == [5] * BATCH
    assert_found(found, wanted)


def test_impossible_tokens():
    """Logits of -inf, among them those of all tokens but the end."""
    logits, weights = hashed_tables(13, BATCH, VOCABULARY, MEMORY)
    logits[:, :, 4:] = -np.inf
    logits[2:, ::3, :END] = -np.inf
    found = search((logits, weights))
    assert_found(found, expected((logits, weights)))
    assert not np.isnan(found.score).any()
    assert (found.ids < 4).all()


CONSTRAINTS = [
    {"repetition_penalty": 1.7},
    {"min_length": 9, "no_repeat_ngram": 2},
]


@pytest.mark.parametrize("constraints", CONSTRAINTS, ids=str)
def test_constraints(constraints):
    tables = hashed_tables(17, BATCH, VOCABULARY, MEMORY)
    tables[0][:, :, 4] += 2  # so that there is something to repeat
    found = search(tables, length_penalty=0.7, constraints=Constraints(**constraints))
    allows = [allowing(END, **constraints)] * BATCH
    wanted = expected(tables, rankings=rankings(0.7, 0), allows=allows)
    assert_found(found, wanted)
    free = search(tables, length_penalty=0.7)
    assert (found.ids != free.ids).any()


def test_constraints_for_each_example():
    count = 3 * BATCH
    tables = hashed_tables(19, count, VOCABULARY, MEMORY)
    tables[0][:, :, 4] += 2
    min_length = np.resize(np.array([0, 9, 2, 20], "int32"), count)
    penalty = np.resize(np.array([1, 1.5, 2, 0.7, 1], "float32"), count)
    size = np.resize(np.array([0, 1, 2, 3, 4, 0, 2], "int32"), count)
    prefix = np.tile(np.array([[4, 1], [5, END], [6, 6], [1, 5], [0, 0]], "int32"), (3, 1))
    lengths = np.array([2, 2, 1, 0, 2] + [0] * 10, "int32")
    constraints = Constraints(
        min_length=ops.convert_to_tensor(min_length),
        repetition_penalty=ops.convert_to_tensor(penalty),
        no_repeat_ngram=ops.convert_to_tensor(size),
        prefix=ops.convert_to_tensor(prefix),
        prefix_lengths=ops.convert_to_tensor(lengths),
    )
    columns = zip(min_length, penalty, size, prefix, lengths, strict=True)
    allows = [
        allowing(END, m, float(p), int(s), tuple(int(x) for x in x[:n]))
        for m, p, s, x, n in columns
    ]
    found = search(tables, constraints=constraints)
    assert_found(found, expected(tables, allows=allows))
    assert (found.ids[0, :, :2] == [4, 1]).all()
    assert tuple(found.ids[1, 0, :2]) == (5, 0)


def test_a_prefix_that_the_model_holds_for_impossible():
    logits, weights = hashed_tables(23, BATCH, VOCABULARY, MEMORY)
    logits[:, :, 5] = -np.inf
    prefix = np.full((BATCH, 1), 5)
    found = search((logits, weights), constraints=Constraints(prefix=prefix))
    assert (found.ids[:, :, 0] == 5).all()
    assert (found.log_probability == -np.inf).all()
    assert (found.score < -1e8).all() and np.isfinite(found.score).all()


def test_the_search_is_the_same_in_a_compiled_graph():
    tables = hashed_tables(29, BATCH, VOCABULARY, MEMORY)
    wanted = expected(tables, rankings=rankings(PER_EXAMPLE, 0.5))

    def function(logits, weights, mask, alpha):
        batch = ops.shape(logits)[0]
        return beam_search(
            hashed_step,
            [ops.zeros((batch,), dtype="int32")],
            (logits, weights),
            batch_size=batch,
            beam_width=WIDTH,
            n_best=WIDTH,
            max_length=STEPS,
            length_penalty=alpha,
            coverage_penalty=0.5,
            memory_mask=mask,
            **IDS,
        )

    inputs = [ops.convert_to_tensor(x) for x in (*tables, MASK, PER_EXAMPLE)]
    for compiled in _compiled(function):
        found = compiled(*inputs)
        assert_found(type(found)(*(ops.convert_to_numpy(x) for x in found)), wanted)


def _compiled(function):
    """The function in a graph, sizes unknown where a graph may not know them, and under XLA."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        shapes = (None, STATES, VOCABULARY), (None, STATES, None), (None, None), (None,)
        dtypes = "float32", "float32", "bool", "float32"
        specs = [tf.TensorSpec(s, d) for s, d in zip(shapes, dtypes, strict=True)]
        plain = tf.function(function, input_signature=specs, autograph=False)
        return plain, tf.function(function, jit_compile=True, autograph=False)
    if keras.backend.backend() == "jax":
        import jax

        return (jax.jit(function),)
    return (function,)  # torch: loops of unknown length do not compile


def test_the_state_may_be_any_structure_and_moves_with_its_hypothesis():
    tables = hashed_tables(31, BATCH, VOCABULARY, MEMORY)

    def step(token, state, memory):
        logits, (hashed,), weights = hashed_step(token, [state["hash"]], memory)
        tokens = ops.concatenate([state["more"][0][:, 1:], token[:, None]], axis=1)
        return logits, {"hash": hashed, "more": (tokens,)}, weights

    def begin(step, state, *arguments, **options):
        (zeros,) = state
        state = {"hash": zeros, "more": (ops.zeros((BATCH, 13), dtype="int32"),)}
        return beam_search(step, state, *arguments, **options)

    options = {"beam_width": WIDTH, "n_best": WIDTH, "max_length": STEPS, **IDS}
    assert_found(run(begin, step, *tables, **options), expected(tables))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 0}, "max_length >= 1. Received: max_length=0"),
        ({"max_lengths": 0}, "max_lengths >= 1. Received: max_lengths=0"),
        ({"beam_width": 0, "n_best": 1}, "beam_width >= 1. Received: beam_width=0"),
        ({"n_best": 5}, "n_best <= beam_width=4. Received: n_best=5"),
        ({"n_best": 0}, "1 <= n_best.*Received: n_best=0"),
        ({"length_penalty": -0.5}, "length_penalty >= 0. Received: length_penalty=-0.5"),
        ({"coverage_penalty": -1}, "coverage_penalty >= 0. Received: coverage_penalty=-1"),
        ({"coverage_penalty": 0.2}, "memory_mask along with coverage_penalty"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        search(hashed_tables(0, BATCH, VOCABULARY, MEMORY), **options)
