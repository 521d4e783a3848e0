"""Constraints on the answers of every search."""

import dataclasses
from typing import Any

from keras import ops

from keras_attention.decoding.processors import (
    block_ngrams,
    end_where_nothing_may_follow,
    forbid_early_end,
    force_prefix,
    penalize_repetition,
)
from keras_attention.decoding.settings import LARGEST, MOST, check_setting, in_range, is_off
from keras_attention.known import known_values
from keras_attention.token_ids import check_token_ids


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

    min_length: Any = 0
    repetition_penalty: Any = 1.0
    no_repeat_ngram: Any = 0
    prefix: Any = None
    prefix_lengths: Any = None

    def __post_init__(self):
        check_setting("min_length", self.min_length, "min_length >= 0", lambda x: x >= 0)
        check_setting(
            "repetition_penalty",
            self.repetition_penalty,
            "a finite repetition_penalty > 0",
            lambda x: 0 < x < float("inf"),
        )
        check_setting(
            "no_repeat_ngram", self.no_repeat_ngram, "no_repeat_ngram >= 0", lambda x: x >= 0
        )
        if self.prefix is None and self.prefix_lengths is not None:
            raise ValueError(
                "Expected a prefix along with prefix_lengths. "
                f"Received: prefix=None, prefix_lengths={self.prefix_lengths}"
            )

        # Frozen, but once and for all: not at each step.
        for name, low, high, neutral in (
            ("min_length", 0, MOST, 0),
            ("repetition_penalty", 1e-30, LARGEST, 1.0),
            ("no_repeat_ngram", 0, MOST, 0),
        ):
            object.__setattr__(self, name, in_range(getattr(self, name), low, high, neutral))

    def is_empty(self):
        """True if everything is allowed."""
        return (
            self.prefix is None
            and is_off(self.min_length, 0)
            and is_off(self.repetition_penalty, 1)
            and is_off(self.no_repeat_ngram, 0)
        )

    def apply(self, log_probabilities, ids, t, end_id):
        """The log-probabilities `(B, W, V)` that remain, -inf for what may not follow.

        Args:
            log_probabilities: float32 `(B, W, V)`, of W hypotheses of each example.
            ids: int32 `(B, W, L)`, their tokens so far.
            t: int32 scalar, how many of them count.
            end_id: the token after the last.
        """
        allowed = log_probabilities
        if not is_off(self.repetition_penalty, 1):
            allowed = penalize_repetition(allowed, ids, t, self.repetition_penalty)
        if not is_off(self.no_repeat_ngram, 0):
            allowed = block_ngrams(allowed, ids, t, self.no_repeat_ngram)
        if not is_off(self.min_length, 0):
            allowed = forbid_early_end(allowed, t, self.min_length, end_id)
        allowed = end_where_nothing_may_follow(allowed, log_probabilities, end_id)
        if self.prefix is not None:
            lengths = self.prefix_lengths
            lengths = ops.shape(self.prefix)[1] if lengths is None else lengths
            if known_values(t) is not None and int(known_values(t)) == 0:
                # The first step is outside the loop: here once, not at each step.
                self._check_prefix(log_probabilities.shape[-1])
            allowed = force_prefix(allowed, log_probabilities, t, self.prefix, lengths)
        return allowed

    def _check_prefix(self, vocabulary_size):
        counts = None
        if self.prefix_lengths is not None:
            lengths = ops.expand_dims(ops.cast(self.prefix_lengths, "int32"), -1)
            counts = ops.arange(ops.shape(self.prefix)[1], dtype="int32") < lengths
        check_token_ids(self.prefix, vocabulary_size, counts, name="prefix")
