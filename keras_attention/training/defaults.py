"""Settings chosen from the training lines, where they are not given."""

import collections
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from keras_attention._types import Pairs
from keras_attention_command.settings import Settings

ROOM = 1.5  # answers may be this much longer than the longest target
SURELY = 64  # tokens: a target of so many is no outlier
OUTLIER = 3  # times the length that 99 of 100 targets do not exceed
SHORT = 40  # characters: texts of this mean length are read letter by letter
CLOSED = 0.01  # of the words seen once: about the share of words in new texts that are unknown
MOST_WORDS = 8_000
SUBWORDS = 8  # times the square root of the number of words
FEWEST_STEPS = 800
SMALLEST, LARGEST = 200, 16_000  # vocabularies of subwords


def choose_settings(settings: Settings, pairs: Pairs) -> tuple[Settings, Any]:
    """Puts numbers and names where `settings` leave the choice.

    Returns:
        `Settings`, and a line that says what was chosen, "" if nothing was.
    """
    if not pairs:
        raise ValueError("Expected at least one pair to train on. Received: none")
    chosen: dict[str, Any] = {}
    for side, texts in zip(("source", "target"), zip(*pairs, strict=True), strict=True):
        kind = getattr(settings, f"{side}_tokenizer")
        if kind == "auto":
            kind = chosen[f"{side}_tokenizer"] = choose_kind(texts)
        if not getattr(settings, f"{side}_vocabulary"):
            chosen[f"{side}_vocabulary"] = choose_vocabulary_size(texts, kind)
    batch_size = settings.batch_size or choose_batch_size(len(pairs))
    if not settings.batch_size:
        chosen["batch_size"] = batch_size
    if not settings.epochs:
        batches = -(-len(pairs) // batch_size)
        chosen["epochs"] = choose_epochs(len(pairs), batches)
    if not chosen:
        return settings, ""
    names = ", ".join(f"--{name.replace('_', '-')} {value}" for name, value in chosen.items())
    return dataclasses.replace(settings, **chosen), f"chosen from {len(pairs):,} pairs: {names}"


def choose_kind(texts: Sequence[str]) -> str:
    """The kind of a vocabulary: words of a closed list, letters of short texts, else subwords."""
    words = collections.Counter(word for text in texts for word in text.split())
    once = sum(count == 1 for count in words.values())
    if once <= CLOSED * words.total() and len(words) <= MOST_WORDS:
        return "word"
    return "char" if sum(map(len, texts)) <= SHORT * len(texts) else "unigram"


def choose_vocabulary_size(texts: Sequence[str], kind: str) -> int:
    """The most tokens of a vocabulary: more subwords for more text, beside all characters."""
    if kind in ("char", "word"):
        return LARGEST
    words = sum(len(text.split()) for text in texts)
    size = round(SUBWORDS * math.sqrt(words), -2)
    characters = len(set().union(*texts))
    return int(min(max(size, SMALLEST, 2 * characters), max(LARGEST, 2 * characters)))


def choose_batch_size(count: int) -> int:
    """A power of 2 near the square root of the number of pairs, from 8 to 256."""
    return 2 ** min(max(round(math.log2(math.sqrt(count))), 3), 8)


def choose_epochs(count: int, batches: int) -> int:
    """Passes for about 1,000 steps with a thousand pairs, twice as many with ten thousand."""
    steps = max(FEWEST_STEPS, 1_000 * (count / 1_000) ** 0.3)
    return min(max(round(steps / batches), 3), 150)


def choose_max_length(lengths: Sequence[int]) -> int:
    """The most tokens of an answer: room beyond the longest target that is no outlier."""
    return int(min(max(lengths), max(SURELY, OUTLIER * _typical(lengths))) * ROOM) + 1


def warn_of_long_targets(
    pairs: Pairs, lengths: Sequence[int], max_length: int, shown: int = 3
) -> Any:
    """Lines that name the targets that no answer can be as long as."""
    where = getattr(pairs, "where", lambda i: f"pair {i + 1}")
    longer = [i for i, length in enumerate(lengths) if length > max_length]
    lines = [
        f"{where(i)}: a target of {lengths[i]:,} tokens, where answers have at most {max_length:,} "
        "(--max-length)"
        for i in longer[:shown]
    ]
    if len(longer) > shown:
        lines.append(f"... and {len(longer) - shown:,} more targets that are as long")
    return lines


def _typical(lengths: Sequence[int]) -> Any:
    """The length that 99 of 100 do not exceed, and of fewer than 100 all but the longest."""
    return max(
        1, sorted(lengths)[max(0, math.ceil(0.99 * len(lengths)) - 1 - (len(lengths) < 100))]
    )
