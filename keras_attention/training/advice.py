"""Advice after a training: settings that may make the next one better."""

from collections.abc import Iterator, Sequence

from keras_attention._types import Pairs
from keras_attention.text import Tokenizer
from keras_attention.text.vocabulary import UNKNOWN_ID
from keras_attention_command.settings import Settings

FALLING, LEAST = 0.03, 0.01  # of the loss, and in itself, in the last fifth of the validations
RISEN = 0.1  # of the lowest loss, at the end
UNKNOWN = 0.01
FEW = 20


def advise(
    losses: Sequence[float], settings: Settings, tokenizers: Sequence[Tokenizer], dev_pairs: Pairs
) -> list[str]:
    """Lines of advice, none where nothing stands out.

    Args:
        losses: on the development lines, of all validations.
        settings: `Settings` of the run.
        tokenizers: of sources and targets.
        dev_pairs: the development lines.
    """
    return [
        *_about_losses(losses, settings),
        *_about_unknown(tokenizers, dev_pairs),
        *_about_dev(dev_pairs),
    ]


def _about_losses(losses: Sequence[float], settings: Settings) -> Iterator[str]:
    if len(losses) < 3:
        return
    lowest, last = min(losses), losses[-1]
    before = losses[-1 - max(1, len(losses) // 5)]
    if last == lowest and before - last > max(FALLING * before, LEAST):
        yield (
            f"The loss was still falling ({before:.4f} to {last:.4f} in the last fifth): more "
            f"epochs may help, --epochs {2 * settings.epochs}."
        )
    elif last > (1 + RISEN) * lowest and losses.index(lowest) < 0.7 * len(losses):
        at = (losses.index(lowest) + 1) / settings.validations_per_epoch
        yield (
            f"The loss rose from {lowest:.4f}, after {at:.3g} epochs, to {last:.4f}: more training "
            "lines, --dropout 0.3 or fewer --units may help."
        )


def _about_unknown(
    tokenizers: Sequence[Tokenizer], dev_pairs: Pairs, most: int = 2_000
) -> Iterator[str]:
    columns = zip(*dev_pairs[:most], strict=True)
    for side, tokenizer, texts in zip(("source", "target"), tokenizers, columns, strict=True):
        rows = tokenizer.tokenize_all(list(texts))
        total = sum(map(len, rows))
        unknown = sum(int((row == UNKNOWN_ID).sum()) for row in rows)
        if unknown > UNKNOWN * total:
            yield (
                f"{unknown / total:.1%} of the {side} tokens in the development lines are unknown: "
                f"another vocabulary may help, --{side}-tokenizer char or unigram."
            )


def _about_dev(dev_pairs: Pairs) -> Iterator[str]:
    if len(dev_pairs) < FEW:
        yield (
            f"The model was chosen by {len(dev_pairs)} development lines alone: which one is best "
            "is uncertain."
        )
