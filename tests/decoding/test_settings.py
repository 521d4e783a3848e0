"""Settings out of range: refused as numbers and as tensors; in a graph the nearest in range."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.decoding import Constraints, beam_search, greedy, sample
from keras_attention.decoding.truncation import apply_temperature
from tests.arrays import assert_equal
from tests.decoding.tables import hashed_step, hashed_tables, run

B, V, TV, STEPS = 3, 7, 5, 11
IDS = {"start_id": 2, "end_id": 3, "max_length": STEPS}
NAN, INF = float("nan"), float("inf")
SEARCHES = {"greedy": greedy, "beam": beam_search, "sample": sample}
CONSTRAINTS = ("min_length", "repetition_penalty", "no_repeat_ngram")


def tables():
    logits, weights = hashed_tables(1, B, V, TV)
    logits[..., 0] = -np.inf  # the model rules padding out
    return logits, weights


def search(name, tables, **options):
    constraints = {key: options.pop(key) for key in CONSTRAINTS if key in options}
    if constraints:
        options["constraints"] = Constraints(**constraints)
    if name == "beam":
        options = {"beam_width": 3, "memory_mask": ops.ones((B, TV), "bool"), **options}
    if name == "sample":
        options = {"seeds": ops.arange(B, dtype="int32"), **options}
    return run(SEARCHES[name], hashed_step, *tables, **IDS, **options)


OUT_OF_RANGE = [
    ("sample", "temperature", -1.0),
    ("sample", "temperature", NAN),
    ("sample", "top_k", -2),
    ("sample", "top_p", 0.0),
    ("sample", "top_p", NAN),
    ("sample", "min_p", 1.5),
    ("sample", "max_lengths", 0),
    ("beam", "length_penalty", -0.5),
    ("beam", "length_penalty", INF),
    ("beam", "coverage_penalty", NAN),
    ("beam", "max_lengths", -3),
    ("greedy", "repetition_penalty", 0.0),
    ("greedy", "repetition_penalty", INF),
    ("greedy", "min_length", -1),
    ("greedy", "no_repeat_ngram", -1),
    ("greedy", "max_lengths", 0),
]


@pytest.mark.parametrize(("name", "setting", "value"), OUT_OF_RANGE)
def test_are_refused_as_numbers_and_as_tensors(name, setting, value):
    for given in (value, ops.convert_to_tensor([value] * B)):
        with pytest.raises(ValueError, match=f"Expected .* Received: {setting}={value}"):
            search(name, tables(), **{setting: given})


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="graphs of TensorFlow")
@pytest.mark.parametrize(
    ("name", "setting", "value", "nearest"),
    [
        ("sample", "temperature", NAN, 1.0),
        ("sample", "temperature", -1.0, 0.0),
        ("sample", "top_k", -2, 0),
        ("sample", "top_k", 2**31 - 1, 0),
        ("sample", "top_p", NAN, 1.0),
        ("sample", "min_p", 1.5, 1.0),
        ("beam", "length_penalty", NAN, 0.0),
        ("beam", "coverage_penalty", -1.0, 0.0),
        ("beam", "max_lengths", -3, 1),
        ("greedy", "repetition_penalty", NAN, 1.0),
        ("greedy", "min_length", -1, 0),
        ("greedy", "min_length", 2**31 - 1, STEPS),
        ("greedy", "no_repeat_ngram", 2**31 - 1, 0),
        ("greedy", "max_lengths", 2**31 - 1, STEPS),
    ],
)
def test_count_as_the_nearest_in_a_graph(name, setting, value, nearest):
    import tensorflow as tf

    def ids(given):
        options = {setting: given}
        constraints = {key: options.pop(key) for key in CONSTRAINTS if key in options}
        if constraints:
            options["constraints"] = Constraints(**constraints)
        if name == "beam":
            options |= {"beam_width": 3, "memory_mask": tf.ones((B, TV), tf.bool)}
        if name == "sample":
            options["seeds"] = tf.range(B)
        state, memory = [tf.zeros((B,), tf.int32)], [tf.constant(x) for x in tables()]
        found = SEARCHES[name](hashed_step, state, memory, batch_size=B, **IDS, **options)
        return found.ids

    given = tf.constant([value] * B)
    found = tf.function(ids, input_signature=[tf.TensorSpec((None,), given.dtype)])
    assert_equal(found(given), found(tf.constant([nearest] * B, given.dtype)))


def test_at_infinity_all_that_is_allowed_is_equally_likely():
    forbidden = np.log(np.array([[0.0, 0.5, 0.3, 0.2]], "float32") + 1e-30)
    forbidden[0, 0] = -INF
    assert_equal(apply_temperature(ops.convert_to_tensor(forbidden), INF), [[-INF, 0, 0, 0]])
    found = search("sample", tables(), temperature=INF, min_length=STEPS)
    assert found.lengths.tolist() == [STEPS] * B
    assert not np.any((found.ids == 0) | (found.ids == 3))
    assert set(np.unique(found.ids)) == {1, 2, 4, 5, 6}


@pytest.mark.parametrize("setting", ["length_penalty", "coverage_penalty"])
def test_huge_penalties_lose_no_hypothesis(setting):
    found = search("beam", tables(), n_best=3, **{setting: 1e38})
    assert np.isfinite(found.score).all()
    assert (found.lengths > 0).any()
