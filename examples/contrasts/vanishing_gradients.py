"""Norm of the gradient that reaches an input d steps before the end of a sequence.

PYTHONPATH=examples python -m contrasts.vanishing_gradients [--seed 1] [--steps 600]
    [--picture FILE]

The input is a sequence of random symbols, one of which is marked; the target at the end is the
marked symbol. In a recurrent network the gradient passes through every step in between (Bengio,
Simard and Frasconi, 1994), in an LSTM along a sum, and with attention in one step. Measured are the
norm of the gradient of the loss with respect to the input at distance d, relative to that at
distance 0, as a mean over sequences, before and after training; and right answers by distance of
the marked symbol.
"""

import click
import keras
import numpy as np
from keras import ops
from matplotlib.figure import Figure

import keras_attention as ka
from contrasts.experiment import Right, Trainer, options, predict, print_table, save

LENGTH, SYMBOLS, UNITS, BATCH = 100, 8, 64, 64
TEST = 2000  # sequences
MEASURED = 200  # sequences whose gradients are measured
DISTANCES = (1, 5, 10, 20, 50, 99)
KINDS = ("plain RNN", "plain RNN, orthogonal", "GRU", "LSTM", "LSTM with attention")


def draw(generator, batch=BATCH, length=LENGTH):
    """Symbols `(B, T, symbols + 1)`, the last feature a mark; the marked steps; the labels."""
    symbols = generator.integers(0, SYMBOLS, (batch, length))
    marked = generator.integers(0, length, batch)
    inputs = np.zeros((batch, length, SYMBOLS + 1), "float32")
    np.put_along_axis(inputs, symbols[..., None], 1.0, axis=-1)
    inputs[np.arange(batch), marked, -1] = 1.0
    labels = 1 + symbols[np.arange(batch), marked]  # 0 is what does not count
    return inputs, labels[:, None].astype("int32"), marked


def model(kind, length=LENGTH, units=UNITS):
    """Logits `(B, 1, symbols + 1)` of the answer."""
    layers = keras.layers
    rnn = {
        "plain RNN": lambda: layers.SimpleRNN(
            units, recurrent_initializer="glorot_uniform", return_sequences=True
        ),
        "plain RNN, orthogonal": lambda: layers.SimpleRNN(units, return_sequences=True),
        "GRU": lambda: layers.GRU(units, return_sequences=True),
    }.get(kind, lambda: layers.LSTM(units, return_sequences=True))()
    inputs = keras.Input((length, SYMBOLS + 1))
    states = rnn(inputs)
    last = states[:, -1:]
    if kind == "LSTM with attention":
        context = ka.BahdanauAttention(units)(last, states)
        last = layers.Concatenate()([last, context])
    return keras.Model(inputs, layers.Dense(SYMBOLS + 1)(last))


def gradient_norms(model, inputs, labels):
    """Mean gradient norms of a sequence's loss for the inputs at distance 0, 1, ... `(T,)`."""

    def loss(inputs):  # a sum: each sequence has the gradient of its own loss
        logits = model(inputs, training=False)
        return ops.sum(keras.losses.sparse_categorical_crossentropy(labels, logits, True))

    inputs = ops.convert_to_tensor(inputs)
    if keras.backend.backend() == "jax":
        import jax

        gradient = jax.grad(loss)(inputs)
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = loss(inputs)
        gradient = tape.gradient(value, inputs)
    norms = np.linalg.norm(ops.convert_to_numpy(gradient).astype("float64"), axis=-1)
    return norms.mean(axis=0)[::-1]


def measure(steps, seed, kinds=KINDS, length=LENGTH, units=UNITS, test=TEST, console=None):
    """By kind: seconds, relative norms by distance before and after, right answers by distance."""
    inputs, labels, marked = draw(np.random.default_rng([seed, 0, 1]), test, length)
    distance = length - 1 - marked
    some = slice(MEASURED)
    results = {}
    with Trainer(len(kinds), steps, seed, console) as trainer:
        for kind in kinds:
            before = {}

            def make(kind=kind, before=before):
                made = model(kind, length, units)
                before["norms"] = gradient_norms(made, inputs[some], labels[some])
                return made

            trained, seconds, _ = trainer.train(
                kind, make, lambda generator: draw(generator, length=length)[:2]
            )
            norms = {**before, "after": gradient_norms(trained, inputs[some], labels[some])}
            right = Right.of(predict(trained, inputs), labels)
            bins = np.array_split(np.arange(length), min(10, length))
            results[kind] = {
                "seconds": seconds,
                "before": norms["norms"] / norms["norms"][0],
                "after": norms["after"] / norms["after"][0],
                "right": right.of_sequences(),
                "bins": [(b[0], b[-1]) for b in bins],
                "right by distance": [right.of_sequences(np.isin(distance, b)) for b in bins],
            }
    return results


def draw_figure(results):
    figure = Figure(figsize=(12, 4))
    *norms, accuracy = figure.subplots(1, 3)
    for axes, when in zip(norms, ("before", "after"), strict=True):
        for kind, result in results.items():
            axes.semilogy(np.maximum(result[when], 1e-12), label=kind)
        axes.set(title=f"gradient by the input, {when} training", xlabel="distance from the end")
        axes.set_ylim(1e-12, 1e2)
    norms[0].set_ylabel("norm relative to distance 0")
    norms[0].legend(fontsize=8)
    for kind, result in results.items():
        middles = [(first + last) / 2 for first, last in result["bins"]]
        accuracy.plot(middles, result["right by distance"], marker="o", markersize=3, label=kind)
    accuracy.axhline(1 / SYMBOLS, color="0.7", linestyle="--", linewidth=1)
    accuracy.set(title="right answers", xlabel="distance of the marked symbol", ylim=(0, 1.03))
    return figure


def report(results, picture, distances=DISTANCES):
    """Prints the table and writes the picture."""
    print_table(
        "norm of the gradient relative to distance 0, before training > after; right answers",
        ("model", "seconds", *(f"d = {d}" for d in distances), "right", "right, d < 10", "d >= 90"),
        [
            (
                kind,
                f"{r['seconds']:.0f}",
                *(f"{r['before'][d]:.0e} > {r['after'][d]:.0e}" for d in distances),
                f"{r['right']:.1%}",
                f"{r['right by distance'][0]:.1%}",
                f"{r['right by distance'][-1]:.1%}",
            )
            for kind, r in results.items()
        ],
    )
    save(draw_figure(results), picture)


@click.command()
@options(steps=600, picture="vanishing_gradients.png")
def main(seed, steps, picture):
    """Norm of the gradient that reaches an input d steps before the end of a sequence."""
    results = measure(steps, seed)
    report(results, picture)


if __name__ == "__main__":
    main()
