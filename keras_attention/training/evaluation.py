"""Exact match of a model's answers."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from rich.console import Console

from keras_attention._types import Pairs, Tensor
from keras_attention.exporting.signatures import TextSignatures
from keras_attention.models import Seq2Seq
from keras_attention.text import Tokenizer
from keras_attention.training import progress


class Quality(NamedTuple):
    """Figures over the distinct sources of a set.

    Attributes:
        exact_match: share of the answers equal to a target of their source.
        error_rate: insertions, deletions and substitutions of characters to the nearest target,
            divided by its length; summed over all before dividing.
        sources: number of distinct sources.
    """

    exact_match: float
    error_rate: float
    sources: int


def answer_all(
    model: Seq2Seq,
    tokenizers: tuple[Tokenizer, Tokenizer],
    texts: Sequence[str],
    max_length: int,
    batch_size: int = 256,
    console: Console | None = None,
    beam_width: int = 1,
    **settings: Any,
) -> list[str]:
    """The answers to `texts`, in their order, with a progress bar.

    Runs the graph that `export` exports, on batches of texts of about one length. The answers are
    greedy, or, with a `beam_width` above 1, the best of a beam search with the `settings` of
    `search_signatures.beam_settings`, numbers.
    """
    signatures = TextSignatures(model, *tokenizers, max_length, beam_width, n_best=1)

    def best(text: Tensor) -> dict[str, Tensor]:
        if beam_width == 1:
            return signatures.answer(text)
        found = signatures.beam(text, **{k: [v] for k, v in settings.items()})
        return {"text": found["text"][:, 0]}

    answer = tf.function(best, input_signature=[tf.TensorSpec((None,), tf.string)])
    order = np.argsort([len(text) for text in texts], kind="stable")
    answers = [""] * len(texts)
    with progress.bar("texts", console) as bar:
        task = bar.add_task("answering", total=len(texts), rate=0.0)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            found = answer(tf.constant([texts[i] for i in rows]))["text"].numpy()
            for row, text in zip(rows, found, strict=True):
                answers[row] = text.decode("utf-8")
            progress.advance(bar, task, len(rows))
    return answers


def targets_by_source(pairs: Pairs) -> dict[str, list[str]]:
    """`{source: [targets]}`: lines with one source are alternatives, each of them right."""
    targets: dict[str, list[str]] = {}
    for source, target in pairs:
        targets.setdefault(source, []).append(target)
    return targets


def quality(
    answers: Sequence[str],
    references: Sequence[Collection[str]],
    normalize: Callable[[str], str] = str,
) -> Any:
    """Compares answers with the right ones.

    Args:
        answers: list of texts.
        references: for each a list of right texts, one at least.
        normalize: function of a text to the spelling that is compared, such as
            `Tokenizer.normalize` of the targets, whose spelling the answers have.
    """
    right = errors = length = 0
    for answer, targets in zip(answers, references, strict=True):
        answer, targets = normalize(answer), [normalize(target) for target in targets]
        right += answer in targets
        distances = [(edit_distance(answer, target), len(target)) for target in targets]
        nearest, size = min(distances)
        errors, length = errors + nearest, length + size
    return Quality(right / len(answers), errors / max(length, 1), len(answers))


def edit_distance(a: Sequence[Any], b: Sequence[Any]) -> int:
    """Fewest insertions, deletions and substitutions that turn sequence `a` into `b`."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        above_left, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            above_left, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above_left + (x != y))
    return row[-1]
