"""The conventions of docs/conventions.md that are held nowhere else, each by numbers."""

import numpy as np
from keras import ops

from keras_attention.decoding import Constraints, beam_search
from keras_attention.decoding.ranking import length_penalty
from keras_attention.decoding.truncation import truncate
from keras_attention.ops import masked_softmax
from keras_attention.ops.positions import sinusoids
from tests.arrays import as_float64, assert_close

INF = float("inf")


def logs(*probabilities):
    return ops.convert_to_tensor(np.log([probabilities]).astype("float32"))


def test_a_row_with_nothing_to_attend_to_is_0():
    weights = masked_softmax(ops.ones((1, 3)), ops.zeros((1, 3), "bool"))
    assert_close(weights, [[0.0, 0.0, 0.0]])


def test_sinusoids_are_interleaved():
    """Sine, cosine, sine, cosine; not all sines and then all cosines."""
    angles = [1.0, 1.0, 0.01, 0.01]
    wanted = [[np.sin(angles[0]), np.cos(angles[1]), np.sin(angles[2]), np.cos(angles[3])]]
    assert_close(sinusoids(np.array([1]), 4), wanted, atol=1e-6)


def test_the_length_penalty_is_that_of_wu():
    """`((5 + 7) / 6)^2` for 7 tokens; `7^2` would be 49."""
    assert_close(length_penalty(np.array([1, 7]), 2.0), [1.0, 4.0], rtol=1e-6)


def test_the_repetition_penalty_multiplies_log_probabilities():
    """Of a likely token, too, whose logit might be positive and be raised by a division."""
    log_p = logs(0.1, 0.8, 0.05, 0.05)[:, None]
    ids = np.array([[[1, 0, 0]]], "int32")
    found = Constraints(repetition_penalty=2.0).apply(log_p, ids, 1, end_id=3)
    assert_close(np.exp(as_float64(found)), [[[0.1, 0.64, 0.05, 0.05]]], rtol=1e-5)


def test_top_p_keeps_ties():
    """0.4 and one 0.3 would do for 0.5; the other 0.3 is as likely."""
    kept = as_float64(truncate(logs(0.4, 0.3, 0.3), top_p=0.5))
    assert (kept > -INF).all()
    assert (as_float64(truncate(logs(0.4, 0.35, 0.25), top_p=0.5)) > -INF).tolist() == [
        [True, True, False]
    ]


def test_those_cut_off_come_after_those_that_ended():
    """Token 1 has probability 0.9, the end 0.1: 1 1 has 0.81, and comes last."""

    def step(token, state, memory):
        rows = ops.zeros_like(token, dtype="float32")[:, None]
        return rows + logs(1e-30, 0.9, 1e-30, 0.1), state, rows

    memory = ops.zeros((1, 1))
    found = beam_search(
        step, [], memory, beam_width=3, n_best=3, batch_size=1, start_id=2, end_id=3, max_length=2
    )
    assert_close(np.exp(as_float64(found.score)), [[0.1, 0.09, 0.81]], rtol=1e-4)
    assert as_float64(found.lengths).tolist() == [[0, 1, 2]]
