"""The additive score as one long chain of elementwise operations, for XLA.

XLA turns a broadcast and a reduction into the tensor that nobody wants, `(B, Tq, Tv, U)`, or into a
slow loop. What it does well is a chain of elementwise operations: one loop over the output that
keeps all in registers. So the sum over units (forwards) or steps (backwards) is written out, block
by block, inside a loop over blocks.

Each term is one of two kinds. The exact one takes `tanh`, or an exponential, of every pair. The
fast one needs exponentials of single steps alone, since

    tanh(q + k) = (e^2q e^2k - 1) / (e^2q e^2k + 1)
    sech(q + k)^2 = 4 / (2 + e^2q e^2k + e^-2q e^-2k)

and one division serves two terms: a / b + c / d = (a d + c b) / (b d).
"""

from collections.abc import Iterator
from typing import Any

from keras import ops

from keras_attention._types import Tensor
from keras_attention.ops.additive.exact_range import has_large_tangents, within

# The largest |q| and |k| of the fast terms: a product of two denominators is then below e^81.
LIMIT = 10.0
# How large what multiplies a denominator may be.
WEIGHT_LIMIT = 1e15
# How many terms are written out. Fewer, and XLA fuses badly; more take longer to compile.
UNITS = 32
STEPS = 16


def scores(query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
    """`(B, Tq, Tv)` of `query (B, Tq, U)`, `key (B, Tv, U)` and `vector (U,)`."""

    fast, exact = (
        lambda term=term: _sum_over_units(term, query, key, vector) for term in (_FastTanh, _Tanh)
    )
    return ops.cond(_is_moderate(query, key, vector), fast, exact)


def gradients(query: Tensor, key: Tensor, vector: Tensor, upstream: Tensor) -> tuple[Any, Any, Any]:
    """Gradients by query, key and vector, given the gradient `upstream (B, Tq, Tv)` of the scores.

    Three sums over the same pairs, each in a loop of its own: what two outputs share, XLA computes
    twice or stores.
    """
    moderate = _is_moderate(query, key, upstream)
    by_value = ops.swapaxes(upstream, 1, 2)

    def either(is_fast: Tensor, fast: Tensor, exact: Tensor, *arrays: Any) -> Tensor:
        choices = (lambda term=term: _sum_over_steps(term, *arrays) for term in (fast, exact))
        return ops.cond(is_fast, *choices)

    by_query = either(moderate, _FastSlope, _Slope, query, key, by_value)
    by_key = either(moderate, _FastSlope, _Slope, key, query, upstream)
    tangents_are_exact = ops.logical_and(moderate, has_large_tangents(query, key))
    by_vector = either(tangents_are_exact, _FastTanh, _Tanh, query, key, by_value)
    # In stages: a sum of few large parts is closer than one of many small ones.
    by_vector = ops.sum(ops.sum(by_vector, axis=1), axis=0)
    return 4 * vector * by_query, 4 * vector * by_key, by_vector


def _is_moderate(query: Tensor, key: Tensor, weight: Tensor) -> Tensor:
    """True if the fast terms are exact."""
    return ops.logical_and(within(LIMIT, query, key), within(WEIGHT_LIMIT, weight))


def _sum_over_units(term: Tensor, query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
    """Sum of `vector[u] term(query[..., u], key[..., u])`: `(B, Tq, Tv)`."""
    units = query.shape[-1]
    blocks, width = _blocks(units, UNITS)

    def by_block(x: Tensor) -> Tensor:
        x = _pad(x, 2, blocks * width - units)
        batch, length, _ = ops.shape(x)
        x = ops.transpose(ops.reshape(x, (batch, length, blocks, width)), (2, 0, 3, 1))
        return term.features(x)  # (blocks, B, width, T): the steps of a unit side by side

    query, key = by_block(query), by_block(key)
    weights = ops.reshape(ops.pad(vector, [[0, blocks * width - units]]), (blocks, width))

    def body(block: Tensor, total: Tensor) -> Tensor:
        pairs = [
            (
                weights[block][unit],
                [x[block][:, unit, :, None] for x in query],
                [x[block][:, unit, None, :] for x in key],
            )
            for unit in range(width)
        ]
        return total + term.sum(pairs)

    shape = (ops.shape(query[0])[1], ops.shape(query[0])[3], ops.shape(key[0])[3])
    return ops.fori_loop(0, blocks, body, ops.zeros(shape, dtype=vector.dtype))


def _sum_over_steps(term: Tensor, resident: Tensor, moving: Tensor, weights: Tensor) -> Tensor:
    """Sum over T2 of `weights[..., None] term(resident, moving)`: `(B, T1, U)`.

    Args:
        term: the kind of term.
        resident: `(B, T1, U)`.
        moving: `(B, T2, U)`.
        weights: `(B, T2, T1)`.
    """
    length = ops.shape(moving)[1]
    blocks, width = _blocks(length, STEPS)

    def in_blocks(x: Tensor) -> Tensor:
        x = _pad(x, 1, blocks * width - length)
        batch, _, size = ops.shape(x)
        return ops.reshape(x, (batch, blocks, width, size))

    resident = term.features(resident)
    moving, weights = in_blocks(moving), in_blocks(weights)  # the weights of the padding are 0

    def body(block: Tensor, total: Tensor) -> Tensor:
        parts = term.features(moving[:, block])  # (B, width, U)
        pairs = [
            (
                weights[:, block, step, :, None],
                resident,
                [x[:, step, None, :] for x in parts],
            )
            for step in range(width)
        ]
        return total + term.sum(pairs)

    return ops.fori_loop(0, blocks, body, ops.zeros_like(resident[0]))


def _blocks(size: Any, longest: Tensor) -> tuple[Any, Any]:
    """Number of blocks of equal width, `longest` at most, that hold `size` terms.

    Blocks of even lengths waste little on padding. A size that is not known yet is a tensor.
    """
    if not isinstance(size, int):
        return (size + longest - 1) // longest, longest
    blocks = max(1, -(-size // longest))
    width = max(1, -(-size // blocks))
    return blocks, width + width % 2


def _pad(x: Tensor, axis: Tensor, amount: Tensor) -> Tensor:
    return ops.pad(x, [[0, amount if i == axis else 0] for i in range(3)])


def _add(terms: Any) -> Tensor:
    total, *rest = terms
    for term in rest:
        total = total + term
    return total


class _Tanh:
    """`tanh(a + b)`, as it stands."""

    @staticmethod
    def features(x: Tensor) -> Tensor:
        return [x]

    @staticmethod
    def sum(pairs: Any) -> Tensor:
        return _add(w * ops.tanh(a + b) for w, (a,), (b,) in pairs)


class _Slope:
    """`sech(a + b)^2 / 4` by an exponential that cannot overflow: `e / (1 + e)^2`, `e = e^-2|a+b|`.

    Not `1 - tanh^2`, which has no correct digit left where the slope is small.
    """

    @staticmethod
    def features(x: Tensor) -> Tensor:
        return [x]

    @staticmethod
    def sum(pairs: Any) -> Tensor:
        decays = [(w, ops.exp(-2 * ops.abs(a + b))) for w, (a,), (b,) in pairs]
        return _add(w * e / ((1 + e) * (1 + e)) for w, e in decays)


class _FastTanh:
    """`tanh(a + b) = (d - 2) / d` with `d = 1 + e^2a e^2b`."""

    @staticmethod
    def features(x: Tensor) -> Tensor:
        return [ops.exp(2 * x)]

    @staticmethod
    def sum(pairs: Any) -> Tensor:
        denominators = [1 + a * b for _, (a,), (b,) in pairs]
        terms = [(w * (d - 2), d) for (w, _, _), d in zip(pairs, denominators, strict=True)]
        return _add(_quotients(terms))


class _FastSlope:
    """`sech(a + b)^2 / 4 = 1 / (2 + e^2a e^2b + e^-2a e^-2b)`."""

    @staticmethod
    def features(x: Tensor) -> Tensor:
        return [ops.exp(2 * x), ops.exp(-2 * x)]

    @staticmethod
    def sum(pairs: Any) -> Tensor:
        return _add(
            _quotients(
                [
                    (w, 2 + a * b + inverse_a * inverse_b)
                    for w, (a, inverse_a), (b, inverse_b) in pairs
                ]
            )
        )


def _quotients(terms: Any) -> Iterator[Any]:
    """`a / b` for each of the `(a, b)`, summed two by two."""
    for (a, b), (c, d) in zip(terms[::2], terms[1::2], strict=True):
        yield (a * d + c * b) / (b * d)
