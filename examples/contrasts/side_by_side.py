"""All sequence-to-sequence models on one task, with the same data and number of weights.

PYTHONPATH=examples python -m contrasts.side_by_side [--seed 1] [--steps 2000] [--picture FILE]

Sequences of at most 15 words are to be reversed, as in `long_sentences`. Each system is as wide as
100,000 weights allow. Reported are right answers by number of words, up to more words than occur
in training, and the times of a training step and of decoding.
"""

import dataclasses
import statistics
import time

import click
import keras
import numpy as np
from matplotlib.figure import Figure

import keras_attention as ka
from contrasts.experiment import Right, Trainer, options, pack, predict, print_table, save
from contrasts.long_sentences import FIRST, WORDS, draw, sequences
from contrasts.memories import StoryReader, TuringMachine

LONGEST, LENGTHS, EACH, LOOKS = 15, (5, 10, 15, 16, 18, 20), 100, 10
SIZE = WORDS + FIRST
DILATIONS = (1, 2, 4, 8)


@dataclasses.dataclass(frozen=True)
class System:
    """Constructor of a model by width, with its width and learning rate.

    Args:
        make: function of the width.
        width: that with which it has some 100,000 weights.
        learning_rate: after a tenth of the steps, in which it rises.
    """

    make: callable
    width: int
    learning_rate: float = 3e-3


SYSTEMS = {
    "plain": System(lambda units: ka.RNNSeq2Seq(SIZE, SIZE, units), 64),
    "Bahdanau": System(
        lambda units: ka.RNNSeq2Seq(SIZE, SIZE, units, ka.BahdanauAttention(units)), 52
    ),
    "Luong": System(
        lambda units: ka.RNNSeq2Seq(
            SIZE, SIZE, units, ka.LuongAttention("general"), query="current", cell="lstm"
        ),
        52,
    ),
    "Transformer": System(
        lambda units: ka.TransformerSeq2Seq(SIZE, SIZE, units, num_heads=4, num_layers=2), 40, 5e-3
    ),
    "ByteNet": System(lambda units: ka.ByteNetSeq2Seq(SIZE, SIZE, units, dilations=DILATIONS), 72),
    "ConvS2S": System(
        lambda units: ka.ConvSeq2Seq(SIZE, SIZE, units, num_layers=3, num_positions=32), 44
    ),
    "WaveNet": System(lambda units: ka.WaveNet(SIZE, units, dilations=(1, 2, 4, 8, 16)), 54),
    "memory network": System(lambda units: StoryReader(SIZE, units), 195),
    "Turing machine": System(lambda units: TuringMachine(SIZE, units), 93),
}


def compiled(function):
    """Function of tensors, compiled by the backend."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function)


def median_milliseconds(call, times=7):
    """Median time of calls that return a tensor, without the first."""
    seconds = []
    for _ in range(times + 1):
        start = time.perf_counter()
        keras.ops.convert_to_numpy(call())
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds[1:])


def measure(
    steps,
    seed,
    names=tuple(SYSTEMS),
    width=None,
    longest=LONGEST,
    lengths=LENGTHS,
    each=EACH,
    looks=LOOKS,
    console=None,
):
    """By system: size, learning curve, right answers by length, and times."""
    asked = np.repeat(lengths, each)
    inputs, labels = pack(*sequences(np.random.default_rng([seed, 0, 1]), asked))
    batch = draw(longest)(np.random.default_rng([seed, 0, 2]))
    seen_before = asked <= longest
    results = {}
    with Trainer(len(names), steps, seed, console) as trainer:
        for name in names:
            system = SYSTEMS[name]
            model, seconds, seen = trainer.train(
                name,
                lambda system=system: system.make(width or system.width),
                draw(longest),
                system.learning_rate,
                warmup=0.1,
                looks=looks,
                look=lambda model: Right.of(predict(model, inputs), labels),
            )
            decode = compiled(
                lambda source, model=model: model.decode(source, max_length=max(lengths) + 1).ids
            )
            sources = keras.ops.convert_to_tensor(inputs["source"])
            results[name] = {
                "width": width or system.width,
                "weights": model.count_params(),
                "seconds": seconds,
                "curve": [right.of_sequences(seen_before) for right in seen],
                "sequences": [seen[-1].of_sequences(asked == length) for length in lengths],
                "decoding": median_milliseconds(lambda d=decode, s=sources: d(s)),
                "step": median_milliseconds(lambda m=model: m.train_on_batch(*batch)),
            }
    return results


def draw_figure(results, steps, lengths):
    figure = Figure(figsize=(12, 4))
    curves, by_length, times = figure.subplots(1, 3)
    for name, result in results.items():
        looks = len(result["curve"])
        curves.plot(steps * np.arange(1, looks + 1) / looks, result["curve"], label=name)
        by_length.plot(lengths, result["sequences"], marker="o", markersize=3)
        times.loglog(result["step"], result["decoding"], "o")
        times.annotate(
            name, (result["step"], result["decoding"]), (4, 4), textcoords="offset points"
        )
    curves.set(xlabel="training steps", title="sequences right, of lengths seen in training")
    curves.legend(fontsize=8)
    by_length.set(xlabel="words", title="after training")
    times.set(xlabel="ms for a step of training", ylabel="ms to decode the test", title="time")
    times.margins(x=0.3, y=0.15)
    return figure


def report(results, steps, picture, lengths=LENGTHS):
    """Prints the table and writes the picture."""
    print_table(
        "sequences reversed without a mistake, by number of words; milliseconds",
        ("system", "width", "weights", *map(str, lengths), "seconds", "ms a step", "ms decoding"),
        [
            (
                name,
                r["width"],
                f"{r['weights']:,}",
                *(f"{share:.0%}" for share in r["sequences"]),
                f"{r['seconds']:.0f}",
                f"{r['step']:.1f}",
                f"{r['decoding']:.0f}",
            )
            for name, r in results.items()
        ],
    )
    save(draw_figure(results, steps, lengths), picture)


@click.command()
@options(steps=2000, picture="side_by_side.png")
def main(seed, steps, picture):
    """All sequence-to-sequence models on one task."""
    report(measure(steps, seed), steps, picture)


if __name__ == "__main__":
    main()
