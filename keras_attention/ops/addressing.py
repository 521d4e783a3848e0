"""Addressing, reading and writing of the memory of a Neural Turing Machine.

Shapes: B batch, H heads, N locations of the memory, M numbers in each, S steps of a shift each way.

Reference: Graves, Wayne and Danihelka, 2014, https://arxiv.org/abs/1410.5401, section 3.
"""

from keras import ops

from keras_attention._types import Tensor

# Below this squared length a vector resembles nothing: a blank location has similarity 0, and
# gradients through it are finite.
SHORTEST = 1e-6
# What a location weighs at least before it is sharpened: the logarithm of 0 is none.
LIGHTEST = 1e-12


def content_weights(key: Tensor, strength: Tensor, memory: Tensor) -> Tensor:
    """A softmax over the locations of `strength` times the cosine of key and memory: `(B, H, N)`.

    Args:
        key: k, `(B, H, M)`.
        strength: beta, `(B, H)`, positive.
        memory: `(B, N, M)`.

    Reference: equations 5 and 6.
    """
    products = ops.matmul(key, ops.swapaxes(memory, -1, -2))
    lengths = ops.multiply(
        ops.expand_dims(_inverse_length(key), -1), ops.expand_dims(_inverse_length(memory), 1)
    )
    return ops.softmax(ops.expand_dims(strength, -1) * products * lengths, axis=-1)


def interpolate(weights: Tensor, previous: Tensor, gate: Tensor) -> Tensor:
    """`gate * weights + (1 - gate) * previous`: `(B, H, N)`. The gate is `(B, H)`; equation 7."""
    return previous + ops.expand_dims(gate, -1) * (weights - previous)


def shift(weights: Tensor, kernel: Tensor) -> Tensor:
    """Moves weights around the circle of locations: `(B, H, N)`.

    `out_i = sum_s kernel_s weights_{i - s}`, s from -S to S, indices modulo N.

    Args:
        weights: `(B, H, N)`.
        kernel: `(B, H, 2 S + 1)`: how much goes by how many locations, from -S on.

    Reference: equation 8.
    """
    reach = kernel.shape[-1] // 2
    moved = [
        kernel[..., step + reach : step + reach + 1] * ops.roll(weights, step, axis=-1)
        for step in range(-reach, reach + 1)
    ]
    return sum(moved[1:], moved[0])


def sharpen(weights: Tensor, power: Tensor) -> Tensor:
    """`weights ** power`, normalised: `(B, H, N)`. The power, gamma, is `(B, H)`; equation 9."""
    logarithms = ops.log(ops.maximum(weights, LIGHTEST))
    return ops.softmax(ops.expand_dims(power, -1) * logarithms, axis=-1)


def read(memory: Tensor, weights: Tensor) -> Tensor:
    """Reading vector of each head, `sum_i weights_i memory_i`: `(B, H, M)`; equation 2."""
    return ops.matmul(weights, memory)


def write(memory: Tensor, weights: Tensor, erase: Tensor, add: Tensor) -> Tensor:
    """The memory `(B, N, M)` after all heads have first erased, then added.

    `memory_i * prod_h (1 - weights_hi erase_h) + sum_h weights_hi add_h`

    Args:
        memory: `(B, N, M)`.
        weights: `(B, H, N)`.
        erase: `(B, H, M)`, between 0 and 1.
        add: `(B, H, M)`.

    Reference: equations 3 and 4.
    """
    for head in range(weights.shape[1]):
        memory = memory * (1 - ops.expand_dims(weights[:, head], -1) * erase[:, head : head + 1])
    return memory + ops.matmul(ops.swapaxes(weights, -1, -2), add)


def _inverse_length(x: Tensor) -> Tensor:
    return ops.rsqrt(ops.sum(ops.square(x), axis=-1) + SHORTEST)
