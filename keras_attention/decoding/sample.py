"""A token drawn at each step."""

from typing import Any

from keras import ops

from keras_attention._types import Tensor
from keras_attention.decoding.constraints import Constraints
from keras_attention.decoding.gather import take_rows
from keras_attention.decoding.hypotheses import Hypotheses
from keras_attention.decoding.one_hypothesis import one_hypothesis
from keras_attention.decoding.settings import (
    COUNT,
    POSITIVE_PROBABILITY,
    PROBABILITY,
    SIZE,
    TEMPERATURE,
    check_setting,
    in_range,
    is_off,
)
from keras_attention.decoding.step import StepFunction
from keras_attention.decoding.threefry import uniform
from keras_attention.decoding.truncation import apply_temperature, truncate


def sample(
    step: StepFunction,
    state: Any,
    memory: Any,
    *,
    seeds: Any,
    batch_size: Any,
    start_id: int,
    end_id: int,
    max_length: int,
    max_lengths: Any = None,
    temperature: Any = 1.0,
    top_k: Any = 0,
    top_p: Any = 1.0,
    min_p: Any = 0.0,
    constraints: Constraints | None = None,
) -> Hypotheses:
    """Draws a token at each step until every sequence has ended.

    An answer depends on its seed, its example and its settings alone: not on the rest of the
    batch, nor on the backend but for rounding. One number of 24 bits is drawn for each token, so
    what the model gives less than 2^-24 hardly ever comes.

    The settings apply in the order in which they stand here, after `constraints`. Each is a number
    for all examples, or a tensor `(B,)` with one for each. Values that only a graph knows when it
    runs cannot be refused: there, the nearest in range counts, and for NaN what changes nothing.

    Args:
        step, state, memory, batch_size, start_id, end_id, max_length, max_lengths: see `greedy`.
        seeds: int `(B,)`; the same seed draws the same answer again.
        temperature: divides the log-probabilities; at 0 the likeliest token is taken, one of them
            where several are, and at infinity all that are allowed are equally likely.
        top_k: draws from the k likeliest tokens; 0 from all.
        top_p: draws from the fewest of those that have this probability together, at least.
        min_p: draws from those that have this times the probability of the likeliest, at least.
        constraints: what the answers have to satisfy; nothing by default.

    Returns:
        `Hypotheses` with L = `max_length`; their score is the model's log-probability, whatever
        the settings.

    Raises:
        ValueError: a number out of range.

    Reference: Fan et al., 2018, https://arxiv.org/abs/1805.04833; Holtzman et al., 2020,
    https://arxiv.org/abs/1904.09751; Nguyen et al., 2025, https://arxiv.org/abs/2407.01082.
    """
    check_setting("temperature", temperature, TEMPERATURE)
    check_setting("top_k", top_k, SIZE)
    check_setting("top_p", top_p, POSITIVE_PROBABILITY)
    check_setting("min_p", min_p, PROBABILITY)
    check_setting("max_length", max_length, COUNT)
    temperature = in_range(temperature, TEMPERATURE, 1.0)
    top_k = in_range(top_k, SIZE, 0)
    top_p = in_range(top_p, POSITIVE_PROBABILITY, 1.0)
    min_p = in_range(min_p, PROBABILITY, 0.0)
    constraints = constraints or Constraints()
    # Time first: one row for each step.
    drawn = ops.transpose(uniform(seeds, max_length))

    def choose(logits: Tensor, ids: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        log_probabilities = ops.log_softmax(logits, axis=-1)
        allowed = log_probabilities
        if not constraints.is_empty():
            so_far = ops.transpose(ids)[:, None]
            allowed = constraints.apply(allowed[:, None], so_far, t, end_id)[:, 0]
        if not is_off(temperature, 1):
            allowed = apply_temperature(allowed, temperature)
        allowed = truncate(allowed, top_k, top_p, min_p)
        token = inverse_cdf(allowed, ops.take(drawn, ops.reshape(t, (1,)), axis=0)[0])
        return token, take_rows(log_probabilities, token[:, None])[:, 0]

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


def inverse_cdf(log_probabilities: Tensor, drawn: Tensor) -> Tensor:
    """The token int32 `(B,)` in whose share of [0, 1) the number `drawn (B,)` lies.

    `log_probabilities (B, V)` need not be normalised; what is -inf there is never picked.
    """
    probabilities = ops.softmax(log_probabilities, axis=-1)
    possible = probabilities > 0
    ends = ops.where(possible, ops.cumsum(probabilities, axis=-1), 0.0)
    # Of the sums as they were rounded: so one of them is above any number drawn.
    total = ops.max(ends, axis=-1)
    reached = ops.logical_and(possible, ends > (drawn * total)[:, None])
    return ops.cast(ops.argmax(ops.cast(reached, "int32"), axis=-1), "int32")
