"""The loop of the searches that keep one hypothesis for each example."""

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_attention._types import Tensor
from keras_attention.decoding.gather import with_row
from keras_attention.decoding.hypotheses import Hypotheses
from keras_attention.decoding.settings import (
    COUNT,
    MOST,
    as_int32,
    check_setting,
    in_range,
    is_number,
)
from keras_attention.decoding.step import StepFunction


def one_hypothesis(
    choose: Callable[..., tuple[Tensor, Tensor]],
    step: StepFunction,
    state: Any,
    memory: Any,
    *,
    batch_size: Any,
    start_id: int,
    end_id: int,
    max_length: int,
    max_lengths: Any = None,
) -> Hypotheses:
    """Takes at each step the token that `choose` chooses, until every sequence has ended.

    The loop is part of the graph and stops early, when the last sequence of the batch has ended.

    Args:
        choose: function of logits float32 `(B, V)`, of the tokens so far int32 `(L, B)` and of
            their number to the next token int32 `(B,)` and its log-probability float32 `(B,)`.
        max_lengths: int `(B,)`, most tokens for each example; `max_length` by default and at most.
        others: see `greedy`.

    Returns:
        `Hypotheses` with L = `max_length`.
    """
    check_setting("max_length", max_length, COUNT)
    check_setting("max_lengths", max_lengths, COUNT)
    if max_lengths is None:
        max_lengths = max_length
    else:
        max_lengths = ops.minimum(as_int32(in_range(max_lengths, COUNT, MOST)), max_length)

    def advance(
        t: Tensor,
        token: Tensor,
        finished: Tensor,
        score: Tensor,
        lengths: Tensor,
        ids: Tensor,
        state: Any,
    ) -> tuple[Any, Any]:
        logits, state, weights = step(token, state, memory)
        token, gain = choose(ops.cast(logits, "float32"), ids, t)
        score = ops.where(finished, score, score + gain)
        finished = ops.logical_or(finished, ops.equal(token, end_id))
        lengths = ops.where(finished, lengths, lengths + 1)
        weights = ops.where(finished[:, None], 0.0, ops.cast(weights, "float32"))
        ids = with_row(ids, t, ops.where(finished, 0, token))
        if not is_number(max_lengths):
            finished = ops.logical_or(finished, t + 1 >= max_lengths)
        return (token, finished, score, lengths, ids, state), weights

    start = ops.convert_to_tensor(0, dtype="int32")
    # The first step runs outside the loop: it tells how wide the weights are.
    carry, weights = advance(
        start,
        ops.full((batch_size,), start_id, dtype="int32"),
        ops.zeros((batch_size,), dtype="bool"),
        ops.zeros((batch_size,), dtype="float32"),
        ops.zeros((batch_size,), dtype="int32"),
        # Time first, so that a step writes one contiguous row.
        ops.zeros((max_length, batch_size), dtype="int32"),
        state,
    )
    alignments = ops.zeros((max_length, *ops.shape(weights)), dtype="float32")
    alignments = with_row(alignments, start, weights)

    def goes_on(t: Tensor, carry: Any, alignments: Tensor) -> Tensor:
        _, finished, *_ = carry
        return ops.logical_and(t < max_length, ops.logical_not(ops.all(finished)))

    def body(t: Tensor, carry: Any, alignments: Tensor) -> tuple[Any, Any, Any]:
        carry, weights = advance(t, *carry)
        return t + 1, carry, with_row(alignments, t, weights)

    _, carry, alignments = ops.while_loop(goes_on, body, (start + 1, carry, alignments))
    _, _, score, lengths, ids, _ = carry
    return Hypotheses(ops.transpose(ids), lengths, score, ops.transpose(alignments, (1, 0, 2)))
