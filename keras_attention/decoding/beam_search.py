"""The best few hypotheses at each step."""

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_attention._types import Tensor
from keras_attention.decoding import ranking
from keras_attention.decoding.beam import (
    NEVER,
    Ended,
    Live,
    backtrace,
    best_of,
    continuations,
    none_ended,
)
from keras_attention.decoding.constraints import Constraints
from keras_attention.decoding.gather import highest, reshape, take_rows, with_row
from keras_attention.decoding.hypotheses import NBest
from keras_attention.decoding.settings import (
    COUNT,
    MOST,
    PENALTY,
    Range,
    by_example,
    check_setting,
    in_range,
    is_off,
)
from keras_attention.decoding.step import StepFunction


def beam_search(
    step: StepFunction,
    state: Any,
    memory: Any,
    *,
    beam_width: int,
    n_best: int = 1,
    batch_size: Any,
    start_id: int,
    end_id: int,
    max_length: int,
    max_lengths: Any = None,
    length_penalty: Any = 0.0,
    coverage_penalty: Any = 0.0,
    memory_mask: Any = None,
    constraints: Constraints | None = None,
) -> NBest:
    """Goes on with the best few hypotheses at each step, and keeps those that end apart.

    With a = `length_penalty`, b = `coverage_penalty`, n the number of tokens of a hypothesis Y,
    its end included, and p_ij the attention of its token i to position j of the memory, the score
    of a hypothesis that ends is

        log P(Y | X) / ((5 + n) / 6)^a  +  b sum_j log(min(sum_i p_ij, 1))

    once and for all: it takes no place from those that go on, and nothing after its end counts. A
    hypothesis ends where its end is among the `beam_width` best continuations of all. The search
    stops when, in every example, no hypothesis that goes on can come among the `n_best` any more;
    that changes no answer. With `beam_width=1` and no penalty it finds what `greedy` finds.

    Settings are numbers for all examples, or tensors `(B,)` with one for each. Values that only a
    graph knows when it runs cannot be refused: there, the nearest in range counts, and for NaN what
    changes nothing.

    Args:
        step: the function that advances the sequences; it gets `beam_width` rows of token and
            state for each row of the memory, see `StepFunction`.
        state: the state before the first step, one row for each example.
        memory: what the step reads.
        beam_width: W, how many hypotheses go on.
        n_best: N, how many are returned, at most W.
        batch_size: B, an integer or a scalar tensor.
        start_id: the token before the first.
        end_id: the token after the last.
        max_length: L, most tokens to decode; a positive integer.
        max_lengths: int `(B,)`, most tokens for each example; `max_length` by default and at most.
        length_penalty: a, 0 or more: the higher, the longer the answers.
        coverage_penalty: b, 0 or more: the higher, the more of the memory is attended to. Less
            attention than 1e-6 counts as 1e-6.
        memory_mask: boolean `(B, Tv)`, True = no padding; for `coverage_penalty`.
        constraints: what the answers have to satisfy; nothing by default. What a repetition
            penalty makes of log P counts in the score, but not in `log_probability`.

    Returns:
        `NBest`, where those cut off at the limit have the same score, without an end.

    Raises:
        ValueError: a number out of range, `n_best` above `beam_width`, or a coverage penalty
            without `memory_mask`.

    Reference: Wu et al., 2016, https://arxiv.org/abs/1609.08144, section 7.
    """
    check_setting("max_length", max_length, COUNT)
    check_setting("max_lengths", max_lengths, COUNT)
    check_setting("beam_width", beam_width, COUNT)
    fits = f"1 <= {{name}} <= beam_width={beam_width}"
    check_setting("n_best", n_best, Range(fits, lambda x: 1 <= x <= beam_width, 1, beam_width))
    check_setting("length_penalty", length_penalty, PENALTY)
    check_setting("coverage_penalty", coverage_penalty, PENALTY)
    covers = not is_off(coverage_penalty, 0)
    if covers and memory_mask is None:
        raise ValueError(
            "Expected memory_mask along with coverage_penalty. Received: memory_mask=None"
        )
    length_penalty = in_range(length_penalty, PENALTY, 0.0)
    coverage_penalty = in_range(coverage_penalty, PENALTY, 0.0)
    max_lengths = in_range(max_lengths, COUNT, MOST)
    max_lengths = by_example(max_length if max_lengths is None else max_lengths, 2, "int32")
    search = _BeamSearch(
        step=step,
        memory=memory,
        width=beam_width,
        n_best=n_best,
        batch_size=batch_size,
        end_id=end_id,
        max_length=max_length,
        max_lengths=ops.broadcast_to(ops.clip(max_lengths, 1, max_length), (batch_size, 1)),
        alpha=ops.maximum(by_example(length_penalty, 2), 0.0),
        beta=ops.maximum(by_example(coverage_penalty, 2), 0.0) if covers else None,
        memory_mask=ops.cast(memory_mask, "bool") if covers else None,
        constraints=constraints or Constraints(),
    )
    return search.run(state, start_id)


@dataclasses.dataclass(frozen=True)
class _BeamSearch:
    """The settings of one search: see `beam_search`. `beta` is None for no coverage penalty."""

    step: Any
    memory: Any
    width: int
    n_best: int
    batch_size: Any
    end_id: int
    max_length: int
    max_lengths: Any
    alpha: Any
    beta: Any
    memory_mask: Any
    constraints: Constraints

    def run(self, state: Any, start_id: int) -> NBest:
        start = ops.convert_to_tensor(0, dtype="int32")
        # The first step runs outside the loop: it tells how wide the weights are.
        carry, row, weights = self.advance(
            start,
            self.first_live(start_id),
            none_ended(self.batch_size, self.n_best),
            ops.zeros((self.batch_size, 1), dtype="bool"),
            keras.tree.map_structure(self.widened, state),
        )
        # Time first, so that a step writes one contiguous row.
        trace = ops.zeros((self.max_length, *ops.shape(row)), dtype="int32")
        rows = ops.zeros((self.max_length, *ops.shape(weights)), dtype="float32")
        trace, rows = with_row(trace, start, row), with_row(rows, start, weights)

        def goes_on(t: Tensor, carry: Any, trace: Tensor, rows: Tensor) -> Tensor:
            _, _, done, _ = carry
            return ops.logical_and(t < self.max_length, ops.logical_not(ops.all(done)))

        def body(t: Tensor, carry: Any, trace: Tensor, rows: Tensor) -> tuple[Any, Any, Any, Any]:
            carry, row, weights = self.advance(t, *carry)
            return t + 1, carry, with_row(trace, t, row), with_row(rows, t, weights)

        t, (live, ended, *_), trace, rows = ops.while_loop(
            goes_on, body, (start + 1, carry, trace, rows)
        )
        return self.result(t, live, ended, trace, rows)

    def first_live(self, start_id: int) -> Live:
        """One hypothesis of no tokens for each example, and places for others."""
        shape = (self.batch_size, self.width)
        coverage = ids = log_probability = ()
        if self.beta is not None:
            coverage = ops.zeros((*shape, ops.shape(self.memory_mask)[1]), dtype="float32")
        if self.is_constrained():
            log_probability = ops.zeros(shape, dtype="float32")
            ids = ops.zeros((*shape, self.max_length), dtype="int32")
        total = ops.broadcast_to(ops.where(ops.arange(self.width) == 0, 0.0, NEVER), shape)
        token = ops.full(shape, start_id, dtype="int32")
        return Live(total, token, log_probability, ids, coverage)

    def is_constrained(self) -> bool:
        return not self.constraints.is_empty()

    def advance(
        self, t: Tensor, live: Live, ended: Ended, done: Tensor, state: Any
    ) -> tuple[tuple[Live, Ended, Tensor, Any], Tensor, Tensor]:
        """One step of all examples; returns what the next one needs, its trace, and the weights."""
        token = reshape(live.token, (self.batch_size * self.width,))
        logits, state, weights = self.step(token, state, self.memory)
        weights = self.in_beams(ops.cast(weights, "float32"))
        log_probabilities = self.in_beams(ops.log_softmax(ops.cast(logits, "float32"), axis=-1))
        allowed, gain = log_probabilities, ()
        if self.is_constrained():
            allowed = self.constraints.apply(allowed, live.ids, t, self.end_id)
        total, token, slot = continuations(live.total, allowed)
        if self.is_constrained():
            gain = take_rows(
                reshape(log_probabilities, (self.batch_size, -1)),
                slot * log_probabilities.shape[-1] + token,
            )
        before = live
        if self.beta is not None:
            live = live._replace(coverage=live.coverage + weights)
        is_end = ops.equal(token, self.end_id)
        may_end = ops.logical_and(is_end, ops.logical_not(done))
        ended = best_of(ended, self.ends(t, may_end, live, total, gain, slot), self.n_best)
        new, slot = self.goes_on(t, token, is_end, live, total, gain, slot)
        # Those of a finished example stay as they are, to be returned where nothing has ended.
        live, slot = keras.tree.map_structure(
            lambda old, x: _where(done, old, x), (before, ops.arange(self.width)[None]), (new, slot)
        )
        # Totals only fall and coverage adds nothing, so that all they may gain is length.
        attainable = live.total[:, :1] / ranking.length_penalty(self.max_lengths, self.alpha)
        beaten = ended.score[:, -1:] >= attainable
        done = ops.logical_or(done, ops.logical_or(beaten, t + 1 >= self.max_lengths))
        state = keras.tree.map_structure(lambda x: self.reordered(x, slot), state)
        return (live, ended, done, state), live.token * self.width + slot, weights

    def ends(
        self, t: Tensor, may_end: Tensor, live: Live, total: Tensor, gain: Tensor, slot: Tensor
    ) -> Ended:
        """Hypotheses that end now: of the 2 W continuations, only the first W may."""
        may_end, total, slot = (x[:, : self.width] for x in (may_end, total, slot))
        coverage = take_rows(live.coverage, slot) if self.beta is not None else ()
        log_probability = total
        if self.is_constrained():
            log_probability = take_rows(live.log_probability, slot) + gain[:, : self.width]
        score = ops.where(may_end, self.score(total, t + 1, coverage), NEVER)
        return Ended(score, log_probability, ops.zeros_like(slot) + t, slot)

    def goes_on(
        self,
        t: Tensor,
        token: Tensor,
        is_end: bool,
        live: Live,
        total: Tensor,
        gain: Tensor,
        slot: Tensor,
    ) -> tuple[Live, Tensor]:
        """The W best continuations that are no end, and the places of what they follow."""
        total, order = highest(ops.where(is_end, NEVER, total), self.width)
        token, slot = take_rows(token, order), take_rows(slot, order)
        log_probability = ids = ()
        if self.is_constrained():
            log_probability = take_rows(live.log_probability, slot) + take_rows(gain, order)
            here = ops.equal(ops.arange(self.max_length, dtype="int32"), t)
            ids = ops.where(here, token[..., None], take_rows(live.ids, slot))
        coverage = take_rows(live.coverage, slot) if self.beta is not None else ()
        return Live(total, token, log_probability, ids, coverage), slot

    def score(self, total: Tensor, length: Any, coverage: Tensor) -> Tensor:
        score = total / ranking.length_penalty(length, self.alpha)
        if self.beta is None:
            return score
        return score + ranking.coverage_penalty(coverage, self.memory_mask, self.beta)

    def result(self, t: Tensor, live: Live, ended: Ended, trace: Tensor, rows: Tensor) -> NBest:
        """Those that ended, and after them those that were cut off."""
        score, order = highest(self.score(live.total, self.max_lengths, live.coverage), self.n_best)
        cut = Ended(
            score,
            take_rows(live.log_probability if self.is_constrained() else live.total, order),
            ops.broadcast_to(self.max_lengths, (self.batch_size, self.n_best)),
            order,
        )
        count = ops.sum(ops.cast(ended.score > NEVER, "int32"), axis=1, keepdims=True)
        places = ops.arange(self.n_best, dtype="int32")[None]
        places = ops.where(places < count, places, self.n_best + places - count)
        merged = [ops.concatenate(fields, axis=1) for fields in zip(ended, cut, strict=True)]
        best = Ended(*(take_rows(field, places) for field in merged))
        exists = best.score > NEVER
        lengths = ops.where(exists, best.lengths, 0)
        ids, places = backtrace(trace, t, self.width, lengths, best.places)
        positions = ops.arange(self.max_length, dtype="int32")[:, None, None]
        holds = positions < lengths  # (L, B, N)
        # Row (t, b, w) of all weights, for the place w from which token t was chosen.
        examples = ops.arange(self.batch_size, dtype="int32")[:, None]
        index = (positions * self.batch_size + examples) * self.width + places
        weights = ops.take(reshape(rows, (-1, ops.shape(rows)[-1])), index, axis=0)
        return NBest(
            ops.transpose(ops.where(holds, ids, 0), (1, 2, 0)),
            lengths,
            best.score,
            ops.where(exists, best.log_probability, NEVER),
            ops.transpose(ops.where(holds[..., None], weights, 0.0), (1, 2, 0, 3)),
        )

    def in_beams(self, x: Any) -> Tensor:
        """Rows `(B * W, ...)` as `(B, W, ...)`."""
        return reshape(x, (self.batch_size, self.width, *ops.shape(x)[1:]))

    def in_rows(self, x: Any) -> Tensor:
        """The way back."""
        return reshape(x, (self.batch_size * self.width, *ops.shape(x)[2:]))

    def widened(self, x: Any) -> Tensor:
        """Each row of `(B, ...)` W times: `(B * W, ...)`."""
        shape = (self.batch_size, self.width, *ops.shape(x)[1:])
        return self.in_rows(ops.broadcast_to(x[:, None], shape))

    def reordered(self, x: Any, slot: Tensor) -> Tensor:
        return self.in_rows(take_rows(self.in_beams(x), slot))


def _where(done: Tensor, old: Any, new: Any) -> Any:
    """`old` for the examples that are `done (B, 1)`, else `new (B, W, ...)`."""
    return ops.where(reshape(done, (-1, *[1] * (len(new.shape) - 1))), old, new)
