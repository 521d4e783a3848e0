import numpy as np
import pytest
from keras import ops

from keras_attention.decoding.threefry import threefry, uniform

# Counter, key and result of the known answers that the authors publish with their code.
KNOWN = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


def bits(numbers):
    return tuple(ops.convert_to_tensor(np.array([n], "uint32").view("int32")) for n in numbers)


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_known_answers(counter, key, result):
    found = threefry(bits(key), bits(counter))
    words = [int(ops.convert_to_numpy(x).view("uint32")[0]) for x in found]
    assert tuple(words) == result


def test_numbers_are_the_upper_bits():
    """Seed 0, position 0 is the first of the known answers."""
    found = ops.convert_to_numpy(uniform(np.array([0, -1, 7]), 5))
    assert found.dtype == "float32"
    assert found.shape == (3, 5)
    assert found[0, 0] == (0x6B200159 >> 8) / 2**24
    assert len(np.unique(found)) == found.size


def test_a_seed_has_the_same_numbers_in_every_batch_and_for_every_count():
    seeds = np.array([5, 2**31 - 1, -(2**31), 0, 5])
    together = ops.convert_to_numpy(uniform(seeds, 11))
    for seed, numbers in zip(seeds, together, strict=True):
        alone = ops.convert_to_numpy(uniform(np.array([seed]), 3))
        np.testing.assert_array_equal(alone[0], numbers[:3])


def test_numbers_are_uniform_and_independent_of_their_neighbours():
    found = ops.convert_to_numpy(uniform(np.arange(503), 211)).astype("float64")
    assert found.min() >= 0 and found.max() < 1
    counts, _ = np.histogram(found, bins=100, range=(0, 1))
    wanted = found.size / 100
    # 99 degrees of freedom: mean 99, deviation 14.
    assert ((counts - wanted) ** 2 / wanted).sum() < 99 + 4 * 14
    for shifted in (found[1:] * found[:-1], found[:, 1:] * found[:, :-1]):
        # The mean of products of independent numbers is 1/4, its deviation sqrt(7)/12/sqrt(n).
        assert abs(shifted.mean() - 0.25) < 4 * np.sqrt(7) / 12 / np.sqrt(shifted.size)
