"""Order of the source: in order, reversed, or both directions.

PYTHONPATH=examples python -m contrasts.source_order [--seed 1] [--steps 800] [--picture FILE]

The target has the words of the source, all different, in the same order, as translations roughly
do. Sutskever, Vinyals and Le (2014, section 3.3) found that their encoder-decoder does better when
it reads the source from its end: the mean distance of a word from its translation is the same, but
the first words are near, which helps training to start. With attention there is no distance.
"""

import click
import numpy as np
from matplotlib.figure import Figure

import keras_attention as ka
from contrasts.experiment import Right, Trainer, options, pack, predict, print_table, save
from contrasts.long_sentences import FIRST, WORDS, sequences

UNITS, BATCH, LONGEST = 64, 64, 15
TEST, LOOKS = 500, 10
ORDERS = ("in order", "reversed", "both directions")
STYLES = dict(zip(ORDERS, ("C0", "C1", "C2"), strict=True))


def batch_of(generator, order, lengths, longest=LONGEST):
    """Inputs and labels: the words of `lengths` sequences, to be repeated in order."""
    targets, _ = sequences(generator, lengths)
    sources = [target[::-1] for target in targets] if order == "reversed" else targets
    return pack(sources, targets, longest, longest + 1)


def model(order, attention, units=UNITS):
    return ka.RNNSeq2Seq(
        WORDS + FIRST,
        WORDS + FIRST,
        units=units,
        attention=ka.BahdanauAttention(units) if attention else None,
        cell="lstm",
        bidirectional=order == "both directions",
    )


def measure(
    steps, seed, orders=ORDERS, longest=LONGEST, units=UNITS, test=TEST, looks=LOOKS, console=None
):
    """By (attention, order): seconds, learning curve, right tokens by position in the longest."""
    results = {}
    with Trainer(2 * len(orders), steps, seed, console) as trainer:
        for attention in (False, True):
            for order in orders:

                def draw(generator, order=order):
                    lengths = generator.integers(1, longest + 1, BATCH)
                    return batch_of(generator, order, lengths, longest)

                generator = np.random.default_rng([seed, 0, 1])  # the same words in every order
                inputs, labels = batch_of(generator, order, [longest] * test, longest)

                def look(model, inputs=inputs, labels=labels):
                    return Right.of(predict(model, inputs), labels)

                _, seconds, seen = trainer.train(
                    ("attention, " if attention else "plain, ") + order,
                    lambda order=order, attention=attention: model(order, attention, units),
                    draw,
                    looks=looks,
                    look=look,
                )
                results[attention, order] = {
                    "seconds": seconds,
                    "curve": [right.of_tokens() for right in seen],
                    "tokens": seen[-1].of_tokens(),
                    "sequences": seen[-1].of_sequences(),
                    "by position": seen[-1].tokens[:, :longest].mean(axis=0),
                }
    return results


def draw_figure(results, steps):
    figure = Figure(figsize=(10, 4))
    curves, positions = figure.subplots(1, 2, sharey=True)
    for (attention, order), result in results.items():
        style = {"color": STYLES[order], "linestyle": "-" if attention else "--"}
        label = ("attention, " if attention else "plain, ") + order
        looks = len(result["curve"])
        curves.plot(steps * np.arange(1, looks + 1) / looks, result["curve"], label=label, **style)
        longest = len(result["by position"])
        positions.plot(range(1, longest + 1), result["by position"], marker=".", **style)
    curves.set(xlabel="training steps", ylabel=f"tokens right, sources of {longest} words")
    positions.set(xlabel="position in the answer", title="after training")
    curves.legend(fontsize=8)
    return figure


def report(results, steps, picture):
    """Prints the table and writes the picture."""
    (longest,) = {len(r["by position"]) for r in results.values()}
    print_table(
        f"sources of {longest} words: right after training, by position, and on the way",
        (*("model", "source", "seconds", "sequences", "tokens"), "first", "middle", "last", "half"),
        [
            (
                "attention" if attention else "plain",
                order,
                f"{r['seconds']:.0f}",
                f"{r['sequences']:.1%}",
                f"{r['tokens']:.1%}",
                *(f"{r['by position'][i]:.1%}" for i in (0, longest // 2, longest - 1)),
                f"{r['curve'][(len(r['curve']) - 1) // 2]:.1%}",
            )
            for (attention, order), r in results.items()
        ],
    )
    save(draw_figure(results, steps), picture)


@click.command()
@options(steps=800, picture="source_order.png")
def main(seed, steps, picture):
    """Order of the source, with and without attention."""
    results = measure(steps, seed)
    report(results, steps, picture)


if __name__ == "__main__":
    main()
