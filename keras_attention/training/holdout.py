"""Pairs held back from training, to choose the best model by."""

import hashlib
from typing import Any

from keras_attention.text.corpus import Corpus

SHARE, MOST = 0.1, 2_000


def hold_back(pairs: Corpus, seed: int) -> tuple[Corpus, Corpus]:
    """Splits a `Corpus` in one to train on and one to choose by, the same in each call.

    Which sources are held back depends on them and on the seed alone, not on their order. Pairs
    with one source stay together.

    Raises:
        ValueError: fewer than two different sources.
    """
    sources = sorted({source for source, _ in pairs}, key=lambda text: _rank(text, seed))
    if len(sources) < 2:
        raise ValueError(
            f"{pairs.path}: Expected --dev, or two different sources at least, one to hold "
            "back. Received: one"
        )
    held = set(sources[: min(max(round(SHARE * len(sources)), 1), MOST)])
    kept = pairs.part([i for i, (source, _) in enumerate(pairs) if source not in held])
    return kept, pairs.part([i for i, (source, _) in enumerate(pairs) if source in held])


def _rank(text: str, seed: int) -> Any:
    return hashlib.blake2b(f"{seed}\t{text}".encode(), digest_size=8).digest()
