"""Sequences of the tasks that a Neural Turing Machine learns, read back as a person would."""

import numpy as np
import pytest

from ntm_copy import tasks


@pytest.mark.parametrize("padded_size", [5, 7])
def test_copy(padded_size):
    generator = np.random.default_rng(0)
    inputs, targets, counts = tasks.Copy(bits=3).batch(generator, 2, 5, padded_size)
    assert inputs.shape == (2, 2 * padded_size + 1, 4)
    assert inputs[:, :, 3].argmax(1).tolist() == [5, 5] and inputs[:, :, 3].sum() == 2
    assert counts.nonzero()[0].tolist() == [6, 7, 8, 9, 10]
    np.testing.assert_array_equal(targets[:, counts], inputs[:, :5, :3])
    assert not inputs[:, 6:].any() and not targets[:, ~counts].any()


def test_recall():
    task = tasks.Recall(bits=5)
    inputs, targets, counts = task.batch(np.random.default_rng(0), 50, 4, 6)
    assert inputs.shape == (50, task.steps(6), 7)
    seen = set()
    for sequence, target in zip(inputs, targets, strict=True):
        starts = sequence[:, 5].nonzero()[0]
        items = [sequence[start + 1 : start + 4, :5] for start in starts]
        first, second = sequence[:, 6].nonzero()[0]
        asked = sequence[first + 1 : second, :5]
        number = next(i for i, item in enumerate(items) if (item == asked).all())
        seen.add(number)
        np.testing.assert_array_equal(target[counts], items[number + 1])
        assert counts.nonzero()[0].tolist() == [second + 1, second + 2, second + 3]
    assert seen == {0, 1, 2}  # never the last item, which none follows


def test_batches_are_new_in_each_epoch():
    batches = tasks.Batches(tasks.Copy(), 3, 2, seed=1)
    first = [batches[i] for i in range(len(batches))]
    np.testing.assert_array_equal(first[1][0], tasks.Batches(tasks.Copy(), 3, 2, 1)[1][0])
    batches.on_epoch_end()
    assert not np.array_equal(first[1][0], batches[1][0])
    for _, _, weights in first:
        np.testing.assert_allclose(weights.mean(), 1, rtol=1e-6)
