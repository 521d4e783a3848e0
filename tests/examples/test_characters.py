import itertools

import numpy as np
import pytest

from characters.__main__ import arrays, batches
from characters.n_gram import NGram


def test_the_probabilities_of_all_lines_sum_to_one():
    """Over all lines of at most two characters, and those that go on."""
    grams = NGram(["ab", "abb", "b"], order=3, size=3)
    ended = ["".join(x) for n in range(3) for x in itertools.product("ab", repeat=n)]
    total = sum(2 ** -grams.bits(line) for line in ended)
    going_on = 0.0
    for line in map("".join, itertools.product("ab", repeat=3)):
        *events, _ = grams._events(line)
        going_on += np.prod([grams._probability(*event) for event in events])
    assert total + going_on == pytest.approx(1)


def test_bits_by_hand():
    """One line "a": the end follows "a" once, "a" follows the beginning once."""
    grams = NGram(["a"], order=2, size=2)
    # Of no context: a and the end once each, so (1 + 2 / 2) / 4; after one: (1 + 1 / 2) / 2.
    assert grams.bits("a") == pytest.approx(-2 * np.log2(0.75))


def test_lines_as_tokens():
    inputs, labels = arrays(["ab", "c"], {"a": 4, "b": 5})
    np.testing.assert_array_equal(inputs, [[2, 4, 5], [2, 1, 0]])
    np.testing.assert_array_equal(labels, [[4, 5, 3], [1, 3, 0]])


def test_batches_hold_every_line():
    lines = ["a" * n for n in range(1, 24)]
    found = list(batches(lines, {"a": 4}, 5, seed=3))
    assert sorted(int(n) for _, labels in found for n in (labels == 4).sum(axis=1)) == [
        *range(1, 24)
    ]
    assert all(x.shape == y.shape and x.shape[1] % 16 == 0 for x, y in found)
