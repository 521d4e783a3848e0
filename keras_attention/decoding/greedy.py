"""The likeliest token at each step."""

from typing import Any

from keras import ops

from keras_attention._types import Tensor
from keras_attention.decoding.constraints import Constraints
from keras_attention.decoding.gather import highest, take_rows
from keras_attention.decoding.hypotheses import Hypotheses
from keras_attention.decoding.one_hypothesis import one_hypothesis
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
    max_lengths: Any = None,
    constraints: Constraints | None = None,
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
        max_lengths: int `(B,)`, most tokens for each example; `max_length` by default and at most.
        constraints: what the answers have to satisfy; nothing by default.

    Returns:
        `Hypotheses` with L = `max_length`.

    Raises:
        ValueError: `max_length` or a number for `max_lengths` is not positive.
    """
    constraints = constraints or Constraints()

    def choose(logits: Tensor, ids: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        if constraints.is_empty():
            value, token = highest(logits, 1)
            # The log-probability of the highest logit: log_softmax of that one alone.
            return token[:, 0], -ops.log(ops.sum(ops.exp(logits - value), axis=-1))
        log_probabilities = ops.log_softmax(logits, axis=-1)
        so_far = ops.transpose(ids)[:, None]
        allowed = constraints.apply(log_probabilities[:, None], so_far, t, end_id)[:, 0]
        _, token = highest(allowed, 1)
        return token[:, 0], take_rows(log_probabilities, token)[:, 0]

    return one_hypothesis(
        choose,
        step,
        state,
        memory,
        batch_size=batch_size,
        start_id=start_id,
        end_id=end_id,
        max_length=max_length,
        max_lengths=max_lengths,
    )
