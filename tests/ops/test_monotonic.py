import numpy as np
import pytest
from keras import ops

from keras_attention.ops import chunkwise, expected_alignment, hard_alignment
from keras_attention.ops.monotonic import first_step
from tests import oracles
from tests.arrays import as_float64, assert_close, assert_equal


def tensor(x, dtype="float32"):
    return ops.convert_to_tensor(np.array(x), dtype=dtype)


def recursion(scores, previous):
    """Raffel et al., equation 9, step by step in float64."""
    p = 1 / (1 + np.exp(-scores))
    alpha, q = np.zeros_like(p), np.zeros(len(p))
    for j in range(p.shape[1]):
        q = (1 - p[:, j - 1]) * q + previous[:, j] if j else previous[:, 0]
        alpha[:, j] = p[:, j] * q
    return alpha


def test_literal_numbers():
    """p = 1/2 everywhere, from the first step: 1/2, 1/4, 1/8."""
    found = expected_alignment(tensor([[0.0, 0.0, 0.0]]), tensor([[1.0, 0.0, 0.0]]))
    assert_close(found, [[0.5, 0.25, 0.125]], rtol=1e-6)
    found = hard_alignment(tensor([[1.0, -1.0, 2.0, 3.0]]), tensor([[0.0, 1.0, 0.0, 0.0]]))
    assert_equal(found, [[0, 0, 1, 0]])


def test_equals_the_sum_of_the_paper():
    generator = np.random.default_rng(0)
    scores = generator.standard_normal((3, 7))
    for hard, function in ((False, expected_alignment), (True, hard_alignment)):
        found, previous = [], first_step(1, 7, "float32")
        for row in scores:
            previous = function(tensor(row[None]), previous)
            found.append(as_float64(previous)[0])
        assert_close(found, oracles.monotonic(scores, hard=hard), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("length", [1000, 4000])
@pytest.mark.parametrize("bias", [-4.0, 0.0, 4.0])
def test_no_mass_is_lost_in_a_long_memory(length, bias):
    generator = np.random.default_rng(length)
    scores = (generator.standard_normal((3, length)) + bias).astype("float32")
    previous = generator.random((3, length))
    previous = (previous / previous.sum(1, keepdims=True)).astype("float32")
    exact = recursion(scores.astype("float64"), previous.astype("float64"))
    found = as_float64(expected_alignment(tensor(scores), tensor(previous)))
    assert_close(found.sum(1), exact.sum(1), rtol=1e-6)
    assert_close(found, exact, rtol=1e-5, atol=1e-9)


def test_many_queries_over_a_long_memory():
    """Errors grow by the rounding of float32 alone: 2e-8 for each query."""
    scores = np.random.default_rng(0).standard_normal((50, 1, 1000)) * 2 - 3
    exact = as_float64(first_step(1, 1000, "float32"))
    found = first_step(1, 1000, "float32")
    for row in scores:
        exact = recursion(row, exact)
        found = expected_alignment(tensor(row), found)
    assert_close(as_float64(found).sum(), exact.sum(), rtol=3e-6)
    assert_close(found, exact, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("score", [-1e30, -100.0, 100.0, 1e30])
def test_scores_far_from_zero(score):
    previous = np.full((1, 5), 0.2)
    found = expected_alignment(tensor([[score] * 5]), tensor(previous))
    assert_close(found, previous if score > 0 else np.zeros((1, 5)), atol=1e-6)


def test_a_hard_reader_who_finds_nothing_is_gone():
    gone = hard_alignment(tensor([[1.0, -1.0]]), tensor([[0.0, 1.0]]))
    assert_equal(gone, [[0, 0]])
    assert_equal(hard_alignment(tensor([[1.0, 1.0]]), gone), [[0, 0]])


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_chunks(size):
    generator = np.random.default_rng(size)
    alignment, scores = generator.random((2, 3, 5)), generator.standard_normal((2, 3, 5)) * 3
    mask = np.array([[[True, False, True, True, True]], [[True] * 5]])
    for visible in (None, mask):
        seen = np.broadcast_to(True if visible is None else visible, scores.shape)
        some = alignment * seen
        found = as_float64(chunkwise(tensor(some), tensor(scores), visible, size))
        for index in np.ndindex(2, 3):
            one = oracles.chunkwise(some[index], scores[index], size, seen[index])
            assert_close(found[index], one, rtol=1e-5, atol=1e-6)


def test_a_chunk_far_below_the_others_keeps_its_mass():
    """exp(-200) is 0 in float32 beside exp(0)."""
    scores = tensor([[[0.0, 0.0, -200.0, -200.0]]])
    found = chunkwise(tensor([[[0.0, 0.0, 0.0, 1.0]]]), scores, None, 2)
    assert_close(found, [[[0, 0, 0.5, 0.5]]], atol=1e-6)
