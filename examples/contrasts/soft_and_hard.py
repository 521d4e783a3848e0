"""Soft and hard attention on one task whose alignment is monotonic and known.

PYTHONPATH=examples python -m contrasts.soft_and_hard [--seed 1] [--steps 1500] [--picture FILE]

The source has words with pauses of 0 to 2 steps after each, the target the words alone, as in
speech recognition. Attention has to move forward past the pauses, to one step at a time. Reported
are right answers, the entropy of the weights (in nats; 0 for one step), how often the largest
weight is on the predicted word, and pictures of the weights, for

- soft attention (Bahdanau et al., 2015);
- Gumbel: drawn one step at a time in training, with a straight-through gradient; hard afterwards;
- hardmax: the best step, in training too, where no gradient tells the scores about the others;
- monotonic attention: soft in training, hard afterwards (Raffel et al., 2017);
- local attention, whose window is at the step t of the answer (local-m) or at a predicted one
  (local-p; Luong et al., 2015).
"""

import click
import numpy as np
from keras import ops
from matplotlib.figure import Figure

import keras_attention as ka
from contrasts.experiment import (
    FIRST,
    Right,
    Trainer,
    options,
    pack,
    predict,
    print_table,
    save,
)

PAUSE, WORDS = FIRST, 30  # words count from PAUSE + 1
UNITS, BATCH, LONGEST, MOST_PAUSES, TEST = 32, 64, 10, 2, 500
SOURCE = LONGEST * (1 + MOST_PAUSES)

ATTENTIONS = {
    "soft": lambda units: ka.BahdanauAttention(units),
    "gumbel": lambda units: ka.BahdanauAttention(units, probability="gumbel"),
    "hardmax": lambda units: ka.BahdanauAttention(units, probability="hardmax"),
    "monotonic": lambda units: ka.MonotonicAttention(
        ka.BahdanauAttention(units, normalize=True), noise=1.0, score_bias=-1.0
    ),
    "local-m": lambda units: ka.LocalAttention(
        ka.BahdanauAttention(units), window=4, position="monotonic"
    ),
    "local-p": lambda units: ka.LocalAttention(ka.BahdanauAttention(units), window=4),
}


def draw(generator, batch=BATCH, longest=LONGEST):
    """Inputs, labels, and the source step `(B, longest)` of each word."""
    sources, targets, steps = [], [], np.full((batch, longest), -1)
    for row in range(batch):
        words = PAUSE + 1 + generator.integers(0, WORDS, generator.integers(2, longest + 1))
        starts = np.cumsum(1 + generator.integers(0, MOST_PAUSES + 1, len(words)))
        steps[row, : len(words)] = np.concatenate([[0], starts[:-1]])
        source = np.full(starts[-1], PAUSE)
        source[steps[row, : len(words)]] = words
        sources.append(source)
        targets.append(words)
    inputs, labels = pack(sources, targets, longest * (1 + MOST_PAUSES), longest + 1)
    return inputs, labels, steps


def model(attention, units=UNITS):
    size = PAUSE + 1 + WORDS
    return ka.RNNSeq2Seq(size, size, units=units, attention=attention)


def weights_of(model, inputs):
    """Weights `(B, Tt, Ts)` of a trained model, given the right words."""
    memory = model.prepare(inputs["source"])
    state = model.initial_state(memory)
    weights = []
    for token in inputs["target"].T:
        _, state, seen = model.step(ops.convert_to_tensor(token), state, memory)
        weights.append(ops.convert_to_numpy(seen))
    return np.stack(weights, axis=1)


def entropy(weights):
    """Entropy of weights along the last axis, in nats, relative to their sum; 0 without weights."""
    total = weights.sum(axis=-1, keepdims=True)
    shares = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return -(shares * logs).sum(axis=-1)


def on_the_word(weights, steps):
    """Share of the words (steps other than -1) that have the largest weight."""
    said = steps >= 0
    heaviest = weights[:, : steps.shape[1]].argmax(axis=-1)
    return (heaviest == steps)[said].mean()


def measure(
    steps, seed, names=tuple(ATTENTIONS), longest=LONGEST, units=UNITS, test=TEST, console=None
):
    """By attention: seconds, right answers, entropy, alignment, and the weights of an example."""
    inputs, labels, stands = draw(np.random.default_rng([seed, 0, 1]), test, longest)
    example = int(np.argmax((labels != 0).sum(axis=1)))
    rows, columns = (int((x[example] != 0).sum()) for x in (labels, inputs["source"]))
    results = {}
    with Trainer(len(names), steps, seed, console) as trainer:
        for name in names:
            trained, seconds, _ = trainer.train(
                name,
                lambda name=name: model(ATTENTIONS[name](units), units),
                lambda generator: draw(generator, longest=longest)[:2],
            )
            right = Right.of(predict(trained, inputs), labels)
            weights = weights_of(trained, inputs)
            said = stands >= 0
            results[name] = {
                "seconds": seconds,
                "sequences": right.of_sequences(),
                "tokens": right.of_tokens(),
                "entropy": entropy(weights)[:, : stands.shape[1]][said].mean(),
                "on the word": on_the_word(weights, stands),
                "weights": weights[example, :rows, :columns],
                "source": inputs["source"][example, :columns],
            }
    return results


def draw_figure(results):
    columns = min(3, len(results))
    figure = Figure(figsize=(4.2 * columns, 2.4 * -(-len(results) // columns)))
    grid = figure.subplots(-(-len(results) // columns), columns, squeeze=False).flat
    for axes, (name, result) in zip(grid, results.items(), strict=False):
        image = axes.imshow(result["weights"], cmap="Blues", vmin=0, vmax=1, aspect="auto")
        names = ["·" if token == PAUSE else str(token - PAUSE) for token in result["source"]]
        said = [name for name in names if name != "·"] + ["end"]
        axes.set_xticks(range(len(names)), names, fontsize=6)
        axes.set_yticks(range(len(said)), said, fontsize=6)
        axes.tick_params(length=0)
        axes.set_title(f"{name}: {result['sequences']:.0%} right", fontsize=9)
    figure.colorbar(image, ax=axes, label="weight")
    return figure


def report(results, picture):
    """Prints the table and writes the picture."""
    print_table(
        "answers and tokens right, entropy of the weights in nats, heaviest weight on the word",
        ("attention", "seconds", "sequences", "tokens", "entropy", "on the word"),
        [
            (
                name,
                f"{r['seconds']:.0f}",
                f"{r['sequences']:.1%}",
                f"{r['tokens']:.1%}",
                f"{r['entropy']:.3f}",
                f"{r['on the word']:.1%}",
            )
            for name, r in results.items()
        ],
    )
    save(draw_figure(results), picture)


@click.command()
@options(steps=1500, picture="soft_and_hard.png")
def main(seed, steps, picture):
    """Soft and hard attention on one task whose alignment is monotonic and known."""
    results = measure(steps, seed)
    report(results, picture)


if __name__ == "__main__":
    main()
