"""Reversal of long sequences, with attention and without.

PYTHONPATH=examples python -m contrasts.long_sentences [--seed 1] [--steps 1500] [--picture FILE]

The design of figure 2 of Bahdanau, Cho and Bengio (2015): two models without attention and two
with it, each trained on sequences of at most 10 and of at most 20 words, and tested on longer ones
as well. The words of a sequence are all different; the target has them in reverse order.
"""

import click
import numpy as np
from matplotlib.figure import Figure

import keras_attention as ka
from contrasts.experiment import FIRST, Right, Trainer, options, pack, predict, print_table, save

WORDS, UNITS, BATCH = 60, 64, 64
LONGEST = (10, 20)  # in training
LENGTHS = (2, 5, 8, 10, 12, 15, 18, 20, 22, 25, 30, 35, 40)
STYLES = ("C0--", "C0-", "C1--", "C1-")
EACH = 100  # sequences of each length in the test


def sequences(generator, lengths, words=WORDS):
    """Sources of different words, and targets with the same words in reverse order."""
    sources = [FIRST + generator.permutation(words)[:length] for length in lengths]
    return sources, [source[::-1] for source in sources]


def draw(longest, batch=BATCH):
    """Function that draws a batch of sequences of 1 to `longest` words."""

    def drawn(generator):
        lengths = generator.integers(1, longest + 1, batch)
        return pack(*sequences(generator, lengths), longest, longest + 1)

    return drawn


def model(attention, units=UNITS):
    return ka.RNNSeq2Seq(
        WORDS + FIRST,
        WORDS + FIRST,
        units=units,
        attention=ka.BahdanauAttention(units) if attention else None,
    )


def measure(steps, seed, lengths=LENGTHS, each=EACH, units=UNITS, console=None):
    """By model: seconds, and shares of right sequences and tokens by length."""
    asked = np.repeat(lengths, each)
    inputs, labels = pack(*sequences(np.random.default_rng([seed, 0, 1]), asked))
    results = {}
    with Trainer(2 * len(LONGEST), steps, seed, console) as trainer:
        for attention in (False, True):
            for longest in LONGEST:
                name = ("attention" if attention else "plain") + f", up to {longest}"
                trained, seconds, _ = trainer.train(
                    name, lambda attention=attention: model(attention, units), draw(longest)
                )
                right = Right.of(predict(trained, inputs), labels)
                rows = [asked == length for length in lengths]
                results[name] = {
                    "seconds": seconds,
                    "sequences": [right.of_sequences(row) for row in rows],
                    "tokens": [right.of_tokens(row) for row in rows],
                }
    return results


def draw_figure(results, lengths):
    figure = Figure(figsize=(10, 4))
    for axes, kind in zip(figure.subplots(1, 2, sharey=True), ("sequences", "tokens"), strict=True):
        for (name, result), style in zip(results.items(), STYLES, strict=True):
            axes.plot(lengths, result[kind], style, marker="o", markersize=3, label=name)
        for longest in LONGEST:
            axes.axvline(longest, color="0.8", linewidth=1, zorder=0)
        axes.set_xlabel("words")
        axes.set_title(f"{kind} that are right")
    axes.legend(title="trained")
    return figure


def report(results, picture, lengths=LENGTHS):
    """Prints the table and writes the picture."""
    print_table(
        "sequences reversed without a mistake / tokens right, %, by number of words",
        ("model", "seconds", *map(str, lengths)),
        [
            (
                name,
                f"{result['seconds']:.0f}",
                *(
                    f"{100 * s:.0f} / {100 * t:.0f}"
                    for s, t in zip(result["sequences"], result["tokens"], strict=True)
                ),
            )
            for name, result in results.items()
        ],
    )
    save(draw_figure(results, lengths), picture)


@click.command()
@options(steps=1500, picture="long_sentences.png")
def main(seed, steps, picture):
    """Reversal of long sequences, with attention and without."""
    results = measure(steps, seed)
    report(results, picture)


if __name__ == "__main__":
    main()
