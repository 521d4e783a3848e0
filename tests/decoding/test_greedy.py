import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.decoding import greedy
from tests.decoding.tables import counted, oracle, table_step

BATCH, STEPS, VOCABULARY, MEMORY = 5, 11, 7, 3
START, END = 2, 3


def search(logits, weights, max_length, step=table_step):
    batch = len(logits)
    found = greedy(
        step,
        [ops.zeros((batch,), dtype="int32")],
        (ops.convert_to_tensor(logits), ops.convert_to_tensor(weights)),
        batch_size=batch,
        start_id=START,
        end_id=END,
        max_length=max_length,
    )
    if keras.backend.backend() == "jax":
        import jax

        jax.effects_barrier()
    return [ops.convert_to_numpy(x) for x in found]


def table(seed=0, batch=BATCH, end_at=None):
    """Random logits and weights; `end_at[b]` is the step at which example b ends, None: never."""
    generator = np.random.default_rng(seed)
    logits = generator.standard_normal((batch, STEPS, VOCABULARY)).astype("float32")
    weights = generator.random((batch, STEPS, MEMORY)).astype("float32")
    if end_at is not None:
        # END is the middle of the vocabulary, so the reversal after token 1 leaves it where it is.
        logits[:, :, END] = -9
        for row, step in zip(logits, end_at, strict=True):
            if step is not None:
                row[step, END] = 9
    return logits, weights


def assert_equal(found, expected):
    ids, lengths, score, alignments = expected
    np.testing.assert_array_equal(found[0], ids)
    np.testing.assert_array_equal(found[1], lengths)
    np.testing.assert_allclose(found[2], score, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(found[3], alignments, rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_a_search_is_what_the_oracle_finds(seed):
    logits, weights = table(seed)
    assert_equal(search(logits, weights, STEPS), oracle(logits, weights, START, END, STEPS))


def test_ids_score_and_alignment_by_hand():
    # Two steps and the end: tokens 4 and 5, each with probability 1/2; the end with 4/10.
    logits = np.full((1, 3, VOCABULARY), -np.inf, "float32")
    logits[0, 0, [4, 6]] = 0
    logits[0, 0, 6] = -1e-6
    logits[0, 1, [5, 6]] = [1e-6, 0]
    logits[0, 2, [END, 5, 6]] = np.log([4, 3, 3])
    weights = np.array([[[0.2, 0.3, 0.5], [0.7, 0.1, 0.2], [1, 0, 0]]], "float32")
    ids, lengths, score, alignments = search(logits, weights, 3)
    np.testing.assert_array_equal(ids, [[4, 5, 0]])
    np.testing.assert_array_equal(lengths, [2])
    np.testing.assert_allclose(score, [np.log(0.5 * 0.5 * 0.4)], atol=1e-5)
    np.testing.assert_allclose(alignments, [[[0.2, 0.3, 0.5], [0.7, 0.1, 0.2], [0, 0, 0]]])


def test_dtypes_and_shapes():
    logits, weights = table()
    ids, lengths, score, alignments = search(logits.astype("float16"), weights, STEPS)
    assert (ids.dtype, lengths.dtype) == ("int32", "int32")
    assert (score.dtype, alignments.dtype) == ("float32", "float32")
    assert ids.shape == (BATCH, STEPS)
    assert alignments.shape == (BATCH, STEPS, MEMORY)


@pytest.mark.parametrize(
    ("end_at", "steps"),
    [([0, 0, 0, 0, 0], 1), ([0, 1, 4, 2, 0], 5), ([0, 1, None, 2, 0], 7)],
)
def test_the_loop_stops_with_the_last_sequence_or_at_the_maximal_length(end_at, steps):
    logits, weights = table(end_at=end_at)
    step, runs = counted(table_step)
    _, lengths, _, _ = search(logits, weights, 7, step)
    np.testing.assert_array_equal(lengths, [7 if at is None else at for at in end_at])
    assert len(runs) == steps


def test_what_is_cut_off_has_no_end_in_its_score():
    logits, weights = table(end_at=[None] * BATCH)
    assert_equal(search(logits, weights, 3), oracle(logits, weights, START, END, 3))


def test_one_step():
    logits, weights = table(end_at=[0, None, None, 0, None])
    found = search(logits, weights, 1)
    assert_equal(found, oracle(logits, weights, START, END, 1))
    np.testing.assert_array_equal(found[1], [0, 1, 1, 0, 1])


def test_a_batch_is_as_its_examples_alone():
    logits, weights = table(end_at=[4, 0, None, 9, 2])
    together = search(logits, weights, STEPS)
    for i in range(BATCH):
        alone = search(logits[i : i + 1], weights[i : i + 1], STEPS)
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_array_equal(a[i], b[0])


def test_a_finished_sequence_does_not_change():
    logits, weights = table(end_at=[1, 2, 3, 4, None])
    ids, lengths, score, alignments = search(logits, weights, STEPS)
    other_logits, other_weights = table(seed=1)
    for i in range(4):  # what the tables say after the end must not matter
        logits[i, i + 2 :], weights[i, i + 2 :] = other_logits[i, i + 2 :], np.nan
    other = search(logits, weights, STEPS)
    np.testing.assert_array_equal(other[0], ids)
    np.testing.assert_array_equal(other[2], score)
    np.testing.assert_array_equal(other[3], alignments)
    np.testing.assert_array_equal(lengths, [1, 2, 3, 4, STEPS])
    np.testing.assert_array_equal(ids[0, 1:], np.zeros(STEPS - 1))
    np.testing.assert_array_equal(alignments[0, 1:], np.zeros((STEPS - 1, MEMORY)))


def test_among_equals_the_first_token_wins():
    logits = np.zeros((1, 3, VOCABULARY), "float32")
    logits[0, :, 4:] = 5.0
    ids, _, score, _ = search(logits, np.ones((1, 3, MEMORY), "float32"), 3)
    np.testing.assert_array_equal(ids, [[4, 4, 4]])
    np.testing.assert_allclose(score, 3 * (5 - np.log(4 + 3 * np.exp(5.0))), rtol=1e-5)


def test_the_search_is_the_same_in_a_compiled_graph():
    logits, weights = table(end_at=[4, 0, 8, None, 2])
    memory = ops.convert_to_tensor(logits), ops.convert_to_tensor(weights)

    def function(*memory):
        batch = ops.shape(memory[0])[0]
        time = [ops.zeros((batch,), dtype="int32")]
        options = {"batch_size": batch, "start_id": START, "end_id": END, "max_length": STEPS}
        return greedy(table_step, time, memory, **options)

    found = [ops.convert_to_numpy(x) for x in _compiled(function)(*memory)]
    assert_equal(found, oracle(logits, weights, START, END, STEPS))


def _compiled(function):
    """The function in a graph, the batch unknown where a graph may not know it."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        shapes = (None, STEPS, VOCABULARY), (None, STEPS, MEMORY)
        return tf.function(function, input_signature=[tf.TensorSpec(s, "float32") for s in shapes])
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function  # torch: loops of unknown length do not compile


@pytest.mark.parametrize("max_length", [0, -1])
def test_a_search_of_no_steps_is_refused(max_length):
    logits, weights = table()
    with pytest.raises(ValueError, match=f"max_length >= 1.*max_length={max_length}"):
        search(logits, weights, max_length)


def test_the_state_may_be_any_structure():
    logits, weights = table(end_at=[4, 0, 8, None, 2])

    def step(token, state, memory):
        row, (time,), seen = table_step(token, [state["time"]], memory)
        return row, {"time": time, "nested": (state["nested"][0] + 1.0,)}, seen

    found = greedy(
        step,
        {"time": ops.zeros((BATCH,), "int32"), "nested": (ops.zeros((BATCH, 13)),)},
        (ops.convert_to_tensor(logits), ops.convert_to_tensor(weights)),
        batch_size=BATCH,
        start_id=START,
        end_id=END,
        max_length=STEPS,
    )
    found = [ops.convert_to_numpy(x) for x in found]
    assert_equal(found, oracle(logits, weights, START, END, STEPS))
