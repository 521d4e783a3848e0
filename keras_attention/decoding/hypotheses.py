"""What a search returns."""

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
