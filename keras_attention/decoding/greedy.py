"""The likeliest token at each step."""

from typing import Any

from keras import ops

from keras_attention.decoding.hypotheses import Hypotheses
from keras_attention.decoding.step import StepFunction


def greedy(
    step: StepFunction,
    state: Any,
    memory: Any,
    *,
    batch_size: Any,
    start_id: int,
    end_id: int,
    max_length: int,
) -> Hypotheses:
    """Takes the likeliest token at each step until every sequence has ended.

    The loop is part of the graph and stops early, when the last sequence of the batch has ended.

    Args:
        step: the function that advances the sequences, see `StepFunction`.
        state: the state before the first step.
        memory: what the step reads.
        batch_size: B, an integer or a scalar tensor.
        start_id: the token before the first.
        end_id: the token after the last.
        max_length: most tokens to decode; a positive integer.

    Returns:
        `Hypotheses` with L = `max_length`.

    Raises:
        ValueError: `max_length` is not positive.
    """
    if max_length < 1:
        raise ValueError(f"Expected max_length >= 1. Received: max_length={max_length}")

    def advance(token, finished, score, lengths, state):
        logits, state, weights = step(token, state, memory)
        logits = ops.cast(logits, "float32")
        token = ops.cast(ops.argmax(logits, axis=-1), "int32")
        gain = ops.max(logits, axis=-1) - ops.logsumexp(logits, axis=-1)
        score = ops.where(finished, score, score + gain)
        finished = ops.logical_or(finished, ops.equal(token, end_id))
        lengths = ops.where(finished, lengths, lengths + 1)
        emitted = ops.where(finished, 0, token)
        weights = ops.where(finished[:, None], 0.0, ops.cast(weights, "float32"))
        return (token, finished, score, lengths, state), (emitted, weights)

    # The first step runs outside the loop: it tells how wide the weights are.
    carry, first = advance(
        ops.full((batch_size,), start_id, dtype="int32"),
        ops.zeros((batch_size,), dtype="bool"),
        ops.zeros((batch_size,), dtype="float32"),
        ops.zeros((batch_size,), dtype="int32"),
        state,
    )
    # Time first, so that a step writes one contiguous row.
    rows = tuple(_with_row(_empty_rows(max_length, x), 0, x) for x in first)

    def goes_on(t, carry, rows):
        _, finished, *_ = carry
        return ops.logical_and(t < max_length, ops.logical_not(ops.all(finished)))

    def body(t, carry, rows):
        carry, new = advance(*carry)
        return t + 1, carry, tuple(_with_row(r, t, x) for r, x in zip(rows, new, strict=True))

    start = ops.convert_to_tensor(1, dtype="int32")
    _, carry, (ids, alignments) = ops.while_loop(goes_on, body, (start, carry, rows))
    _, _, score, lengths, _ = carry
    return Hypotheses(ops.transpose(ids), lengths, score, ops.transpose(alignments, (1, 0, 2)))


def _empty_rows(count, like):
    return ops.zeros((count, *ops.shape(like)), dtype=like.dtype)


def _with_row(rows, index, row):
    return ops.scatter_update(rows, ops.reshape(index, (1, 1)), row[None])
