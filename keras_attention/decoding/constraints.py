"""Constraints on the answers of every search."""

import dataclasses
from collections.abc import Callable
from typing import Any

from keras import ops

from keras_attention._known import known_values
from keras_attention._token_ids import check_token_ids
from keras_attention._types import Tensor
from keras_attention.decoding.constraint import constraint, constraint_fields
from keras_attention.decoding.processors import (
    block_ngrams,
    end_where_nothing_may_follow,
    forbid_early_end,
    force_prefix,
    penalize_repetition,
)
from keras_attention.decoding.settings import POSITIVE, SIZE, check_setting, in_range, is_off


@dataclasses.dataclass(frozen=True)
class Constraints:
    """Constraints on the answers of every search.

    Each is a number for all examples, or a tensor `(B,)` with one for each. Where they leave
    nothing that may follow, the sequence ends; a forced prefix goes before everything else.

    Args:
        min_length: fewest tokens of an answer, the end not counted.
        repetition_penalty: factor for the log-probabilities of the tokens that are in the answer
            already, positive; above 1 it punishes (Keskar et al., 2019, section 4.1, where it
            divides the logits; log-probabilities have one sign, so that it always punishes).
        no_repeat_ngram: n; no sequence of n tokens occurs twice (Paulus et al., 2018, section
            2.5); 0 for any may.
        prefix: int `(B, P)`, the tokens that the answer begins with, or None.
        prefix_lengths: int `(B,)`, how many of them count; all by default.

    Raises:
        ValueError: a number out of range; lengths without a prefix; when the search begins, a
            prefix with ids that are no tokens. Values that only a graph knows when it runs count
            as the nearest in range, NaN as what changes nothing, and ids that are no tokens are
            an InvalidArgumentError of TensorFlow.

    Reference: Keskar et al., 2019, https://arxiv.org/abs/1909.05858; Paulus, Xiong and Socher,
    2018, https://arxiv.org/abs/1705.04304.
    """

    # One row a constraint: its neutral value, its range, and the processor that applies it. The
    # inputs of the exported searches follow from these rows.
    min_length: Any = constraint(0, SIZE, forbid_early_end)
    repetition_penalty: Any = constraint(
        1.0, POSITIVE, penalize_repetition, of_requests=(0.01, 100.0)
    )
    no_repeat_ngram: Any = constraint(0, SIZE, block_ngrams)
    prefix: Any = None
    prefix_lengths: Any = None

    def __post_init__(self) -> None:
        for name, row in constraint_fields(type(self)).items():
            setting = getattr(self, name)
            check_setting(name, setting, row.range)
            # Frozen, but once and for all: not at each step.
            object.__setattr__(self, name, in_range(setting, row.range, row.neutral))
        if self.prefix is None and self.prefix_lengths is not None:
            raise ValueError(
                "Expected a prefix along with prefix_lengths. "
                f"Received: prefix=None, prefix_lengths={self.prefix_lengths}"
            )

    def is_empty(self) -> bool:
        """True if everything is allowed."""
        return self.prefix is None and not self._active()

    def apply(self, log_probabilities: Tensor, ids: Tensor, t: Tensor, end_id: int) -> Tensor:
        """The log-probabilities `(B, W, V)` that remain, -inf for what may not follow.

        Args:
            log_probabilities: float32 `(B, W, V)`, of W hypotheses of each example.
            ids: int32 `(B, W, L)`, their tokens so far.
            t: int32 scalar, how many of them count.
            end_id: the token after the last.
        """
        allowed = log_probabilities
        for setting, process in self._active():
            allowed = process(allowed, ids, t, end_id, setting)
        allowed = end_where_nothing_may_follow(allowed, log_probabilities, end_id)
        if self.prefix is not None:
            lengths = self.prefix_lengths
            lengths = ops.shape(self.prefix)[1] if lengths is None else lengths
            step = known_values(t)
            if step is not None and int(step) == 0:
                # The first step is outside the loop: here once, not at each step.
                self._check_prefix(log_probabilities.shape[-1])
            allowed = force_prefix(allowed, log_probabilities, t, self.prefix, lengths)
        return allowed

    def _active(self) -> list[tuple[Any, Callable[..., Tensor]]]:
        """Pairs of a setting that is not known to be off and its processor."""
        rows = constraint_fields(type(self))
        settings = [(getattr(self, name), row) for name, row in rows.items()]
        return [(x, row.process) for x, row in settings if not is_off(x, row.neutral)]

    def _check_prefix(self, vocabulary_size: int) -> None:
        counts = None
        if self.prefix_lengths is not None:
            lengths = ops.expand_dims(ops.cast(self.prefix_lengths, "int32"), -1)
            counts = ops.arange(ops.shape(self.prefix)[1], dtype="int32") < lengths
        check_token_ids(self.prefix, vocabulary_size, counts, name="prefix")
