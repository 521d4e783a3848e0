"""The hypotheses of a beam search: those that may go on, and those that have ended."""

from typing import Any, NamedTuple

from keras import ops

NEVER = -float("inf")


class Live(NamedTuple):
    """W hypotheses of each example that may go on, the best first.

    Attributes:
        total: float32 `(B, W)`, sum of the log-probabilities as the constraints leave them; -inf
            for what is no hypothesis.
        log_probability: float32 `(B, W)`, sum of the model's.
        token: int32 `(B, W)`, the last token.
        ids: int32 `(B, W, L)`, all tokens.
        slots: int32 `(B, W, L)`, from which place in the beam each token was chosen.
        covered: float32 `(B, W, Tv)`, sum of the attention weights; `()` where nobody asks.
    """

    total: Any
    log_probability: Any
    token: Any
    ids: Any
    slots: Any
    covered: Any


class Ended(NamedTuple):
    """N hypotheses of each example that go on no more, the best first.

    Attributes:
        score: float32 `(B, N)`, what they are ranked by; -inf for what is no hypothesis.
        log_probability: float32 `(B, N)`, sum of the model's log-probabilities.
        lengths: int32 `(B, N)`, how many tokens, the end not counted.
        ids, slots: int32 `(B, N, L)`, as of `Live`.
    """

    score: Any
    log_probability: Any
    lengths: Any
    ids: Any
    slots: Any


def first_live(batch_size, width, length, start_id, covered):
    """One hypothesis of no tokens for each example, and places for others."""
    total = ops.where(ops.arange(width) == 0, 0.0, NEVER)
    return Live(
        ops.broadcast_to(total, (batch_size, width)),
        ops.zeros((batch_size, width), dtype="float32"),
        ops.full((batch_size, width), start_id, dtype="int32"),
        ops.zeros((batch_size, width, length), dtype="int32"),
        ops.zeros((batch_size, width, length), dtype="int32"),
        covered,
    )


def none_ended(batch_size, count, length):
    """Places for `count` hypotheses of each example."""
    return Ended(
        ops.full((batch_size, count), NEVER, dtype="float32"),
        ops.zeros((batch_size, count), dtype="float32"),
        ops.zeros((batch_size, count), dtype="int32"),
        ops.zeros((batch_size, count, length), dtype="int32"),
        ops.zeros((batch_size, count, length), dtype="int32"),
    )


def continuations(totals, allowed):
    """The best ways to go on, the best first: as many as hold W that are no end.

    Args:
        totals: float32 `(B, W)`, of the hypotheses.
        allowed: float32 `(B, W, V)`, log-probabilities of what may follow each.

    Returns:
        New totals, the tokens, and the places in the beam of what they follow: `(B, K)`, where K
        is 2 W, or less where the vocabulary is smaller than the beam.
    """
    width, vocabulary = allowed.shape[1:]
    # An end takes one place of each hypothesis' own, and W of those of all.
    per_hypothesis = min(width + 1, vocabulary)
    gains, tokens = ops.top_k(allowed, per_hypothesis)
    flat = (ops.shape(totals)[0], width * per_hypothesis)
    merged = ops.reshape(totals[..., None] + gains, flat)
    totals, order = ops.top_k(merged, min(2 * width, width * per_hypothesis))
    order = ops.cast(order, "int32")
    tokens = ops.cast(ops.reshape(tokens, flat), "int32")
    return totals, at(tokens, order), order // per_hypothesis


def best_of(hypotheses, others, count):
    """The `count` best of two `Ended`; among equals those of the first."""
    merged = [ops.concatenate(fields, axis=1) for fields in zip(hypotheses, others, strict=True)]
    score, order = ops.top_k(merged[0], count)
    return Ended(score, *(at(field, order) for field in merged[1:]))


def at(x, places):
    """`x (B, W, ...)` at `places`, int `(B, K)`: `(B, K, ...)`."""
    batch, width, *rest = ops.shape(x)
    offsets = ops.arange(batch, dtype="int32")[:, None] * width
    rows = ops.reshape(x, (batch * width, *rest))
    return ops.take(rows, offsets + ops.cast(places, "int32"), axis=0)
