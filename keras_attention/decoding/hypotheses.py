"""Results of a search."""

from typing import Any, NamedTuple


class Hypotheses(NamedTuple):
    """Decoded sequences, one for each example of the batch.

    Attributes:
        ids: int32 `(B, L)`, the tokens without start and end, 0 after the last.
        lengths: int32 `(B,)`, how many tokens.
        score: float32 `(B,)`, sum of the log-probabilities (natural) of the tokens and, unless cut
            off at the maximal length, of the end.
        alignments: float32 `(B, L, Tv)`, the attention weights at each token, 0 after the last.
    """

    ids: Any
    lengths: Any
    score: Any
    alignments: Any


class NBest(NamedTuple):
    """The N best sequences for each example of the batch, the best first.

    Those that ended come before those cut off at the maximal length, and each kind is in the order
    of its scores. Where there are fewer than N sequences, the rest has score and log-probability
    -inf and length 0.

    Attributes:
        ids: int32 `(B, N, L)`, the tokens without start and end, 0 after the last.
        lengths: int32 `(B, N)`, how many tokens.
        score: float32 `(B, N)`, what the search ranks by.
        log_probability: float32 `(B, N)`, sum of the model's log-probabilities (natural) of the
            tokens and, unless cut off, of the end.
        alignments: float32 `(B, N, L, Tv)`, the attention weights at each token, 0 after the last.
    """

    ids: Any
    lengths: Any
    score: Any
    log_probability: Any
    alignments: Any
