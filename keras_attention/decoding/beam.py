"""The hypotheses of a beam search: those that may go on, and those that have ended.

A hypothesis is a place in the beam; its tokens are in the `trace`, a row for each step, which tells
of every place the token chosen there and the place it was chosen from: `token * W + place`.
`backtrace` follows it backwards, once, when the search is over.
"""

import math
from typing import Any, NamedTuple

from keras import ops

from keras_attention._types import Tensor
from keras_attention.decoding.gather import highest, reshape, take_rows

NEVER = -float("inf")
# From so many tokens on, `top_k` of groups and then in groups is the faster.
MANY_TOKENS = 256


class Live(NamedTuple):
    """W hypotheses of each example that may go on, the best first.

    Attributes:
        total: float32 `(B, W)`, sum of the log-probabilities as the constraints leave them; -inf
            for what is no hypothesis.
        token: int32 `(B, W)`, the last token.
        log_probability: float32 `(B, W)`, sum of the model's; `()` where it is the total.
        ids: int32 `(B, W, L)`, all tokens; `()` where no constraint asks.
        coverage: float32 `(B, W, Tv)`, sum of the attention weights; `()` where nobody asks.
    """

    total: Any
    token: Any
    log_probability: Any
    ids: Any
    coverage: Any


class Ended(NamedTuple):
    """N hypotheses of each example that go on no more, the best first.

    Attributes:
        score: float32 `(B, N)`, what they are ranked by; -inf for what is no hypothesis.
        log_probability: float32 `(B, N)`, sum of the model's log-probabilities.
        lengths: int32 `(B, N)`, how many tokens, the end not counted.
        places: int32 `(B, N)`, where in the beam they were after so many tokens.
    """

    score: Any
    log_probability: Any
    lengths: Any
    places: Any


def none_ended(batch_size: Any, count: int) -> "Ended":
    """Places for `count` hypotheses of each example."""
    return Ended(
        ops.full((batch_size, count), NEVER, dtype="float32"),
        ops.zeros((batch_size, count), dtype="float32"),
        ops.zeros((batch_size, count), dtype="int32"),
        ops.zeros((batch_size, count), dtype="int32"),
    )


def continuations(totals: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
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
    gains, tokens = best_tokens(allowed, per_hypothesis)
    flat = (ops.shape(totals)[0], width * per_hypothesis)
    merged = reshape(totals[..., None] + gains, flat)
    totals, order = highest(merged, min(2 * width, width * per_hypothesis))
    return totals, take_rows(reshape(tokens, flat), order), order // per_hypothesis


def best_tokens(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """`ops.top_k` of `scores (B, W, V)`: values and int32 indices `(B, W, count)`.

    `top_k` costs several times as much for an element as a maximum. The best `count` of many are in
    the `count` groups with the highest maxima.
    """
    batch, width, vocabulary = ops.shape(scores)
    size = _group_size(vocabulary, count)
    if size is None:
        return highest(scores, count)
    groups = vocabulary // size
    grouped = reshape(scores, (batch, width * groups, size))
    maxima = reshape(ops.max(grouped, axis=-1), (batch * width, groups))
    _, chosen = highest(maxima, count)
    # In the order of the tokens, so that of equals the first is taken.
    chosen = ops.sort(chosen, axis=-1)
    rows = take_rows(reshape(scores, (batch * width, groups, size)), chosen)
    values, places = highest(reshape(rows, (batch * width, count * size)), count)
    tokens = take_rows(chosen, places // size) * size + places % size
    shape = (batch, width, count)
    return reshape(values, shape), reshape(tokens, shape)


def _group_size(vocabulary: int, count: int) -> int | None:
    """Tokens in a group, so that there are about as many groups as tokens in `count` of them.

    None where groups are of no use: few tokens, or a number of them that has no such divisor.
    """
    if vocabulary < MANY_TOKENS:
        return None
    ideal = math.sqrt(vocabulary / count)
    fitting = [n for n in range(2, vocabulary // count + 1) if vocabulary % n == 0]
    fitting = [n for n in fitting if ideal / 3 < n < ideal * 3]
    return min(fitting, key=lambda n: vocabulary / n + count * n, default=None)


def best_of(hypotheses: Any, others: Any, count: int) -> Any:
    """The `count` best of two `Ended`; among equals those of the first."""
    merged = [ops.concatenate(fields, axis=1) for fields in zip(hypotheses, others, strict=True)]
    score, order = highest(merged[0], count)
    return Ended(score, *(take_rows(field, order) for field in merged[1:]))


def backtrace(
    trace: tuple[Tensor, ...], last: Tensor, width: int, lengths: Tensor, places: Tensor
) -> tuple[Tensor, Tensor]:
    """Follows hypotheses back to their first token.

    Args:
        trace: int32 `(L, B, W)`, see above.
        last: int32 scalar, how many rows of it are filled.
        width: W.
        lengths: int32 `(B, N)`, how many tokens each has.
        places: int32 `(B, N)`, where each was after its last.

    Returns:
        Tokens and the places they were chosen from, int32 `(L, B, N)`; anything beyond the lengths.
    """

    def back(t: Tensor, places: Tensor, found: Tensor) -> tuple[Any, Any, Any]:
        chosen = take_rows(ops.take(trace, t, axis=0), places)
        place = chosen % width
        return (
            t - 1,
            ops.where(t < lengths, place, places),
            ops.scatter_update(found, reshape(t, (1, 1)), chosen[None]),
        )

    found = ops.zeros((ops.shape(trace)[0], *ops.shape(places)), dtype="int32")
    *_, found = ops.while_loop(lambda t, *_: t >= 0, back, (last - 1, places, found))
    return found // width, found % width
