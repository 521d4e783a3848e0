"""Random numbers that depend on a seed and a position alone.

The generators of the backends draw for a whole batch from one seed, each its own numbers. A
counter-based one gives an example the same numbers in every batch and on every backend.
"""

from typing import Any

from keras import ops

from keras_attention._types import Tensor

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA


def threefry(key: Any, counter: Any) -> tuple[Tensor, Tensor]:
    """Threefry-2x32 with 20 rounds.

    int32 stands for the 32 bits, as all backends have it and wrap around in its sums.

    Args:
        key: pair of int32 tensors.
        counter: pair of int32 tensors, which broadcast with the key.

    Returns:
        Pair of int32 tensors of random bits.

    Reference: Salmon, Moraes, Dror and Shaw, 2011, https://doi.org/10.1145/2063384.2063405,
    section 3.3.
    """
    key = (*key, ops.bitwise_xor(ops.bitwise_xor(*key), PARITY))
    x, y = counter[0] + key[0], counter[1] + key[1]
    for group in range(5):
        for distance in ROTATIONS[group % 2]:
            x = x + y
            y = ops.bitwise_xor(_rotate(y, distance), x)
        x = x + key[(group + 1) % 3]
        y = y + key[(group + 2) % 3] + (group + 1)
    return x, y


def uniform(seeds: Tensor, count: int) -> Tensor:
    """`count` numbers for each seed, uniform over the multiples of 2^-24 in [0, 1).

    Args:
        seeds: int `(B,)`, of which 32 bits count.
        count: positive integer.

    Returns:
        float32 `(B, count)`. The first numbers do not depend on `count`.
    """
    seeds = ops.cast(seeds, "int32")[:, None]
    positions = ops.arange(count, dtype="int32")[None]
    zero = ops.zeros_like(seeds)
    bits, _ = threefry((seeds, zero), (positions, ops.zeros_like(positions)))
    return ops.cast(_shift_right(bits, 8), "float32") * 2.0**-24


def _rotate(x: Tensor, distance: int) -> Tensor:
    return ops.bitwise_or(ops.bitwise_left_shift(x, distance), _shift_right(x, 32 - distance))


def _shift_right(x: Tensor, distance: int) -> Tensor:
    """Fills with zeros, where that of int32 fills with the sign."""
    return ops.bitwise_and(ops.bitwise_right_shift(x, distance), (1 << (32 - distance)) - 1)
