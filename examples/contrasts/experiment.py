"""Shared parts of the programs: options, batches of tokens, training, counts, tables."""

import dataclasses
import time
from pathlib import Path

import click
import keras
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import keras_attention as ka
from keras_attention.training.progress import advance, bar

START, END, FIRST = 2, 3, 4  # 0 is padding, 1 unknown; symbols count from FIRST


def options(steps, picture):
    """Decorator that adds the options of all programs, with their defaults."""

    def decorate(function):
        for option in (
            click.option("--picture", type=Path, default=Path("docs") / picture, show_default=True),
            click.option("--steps", default=steps, show_default=True, help="of each training"),
            click.option("--seed", default=1, show_default=True, help="of weights and data"),
        ):
            function = option(function)
        return function

    return decorate


def pack(sources, targets, source_length=None, target_length=None):
    """Inputs and labels of `fit` for lists of tokens, padded; sizes that are always the same
    compile once.

    Args:
        sources: lists of tokens.
        targets: the same; start and end are added here.
        source_length: steps to pad to; those of the longest by default.
        target_length: the same of targets, the end among them.
    """
    source_length = source_length or max(map(len, sources))
    target_length = target_length or 1 + max(map(len, targets))
    source = np.zeros((len(sources), source_length), "int32")
    target, labels = np.zeros((2, len(targets), target_length), "int32")
    for row, (said, meant) in enumerate(zip(sources, targets, strict=True)):
        source[row, : len(said)] = said
        target[row, : len(meant) + 1] = [START, *meant]
        labels[row, : len(meant) + 1] = [*meant, END]
    return {"source": source, "target": target}, labels


class Trainer:
    """Trains several models one after the other, under one progress bar.

    Args:
        models: number of models.
        steps: training steps of each model.
        seed: of the weights, and of the data: batch i is the same for every model.
    """

    def __init__(self, models, steps, seed, console=None):
        self.steps = steps
        self.seed = seed
        self.bar = bar("steps", console)
        self.task = self.bar.add_task("", total=models * steps, rate=0.0)

    def __enter__(self):
        self.bar.start()
        return self

    def __exit__(self, *exception):
        self.bar.stop()

    def train(self, name, make, draw, learning_rate=3e-3, warmup=0.0, looks=1, look=None):
        """Makes a model and trains it; returns it, the seconds, and what `look` returned.

        Args:
            name: label of the progress bar.
            make: function that returns the model.
            draw: function of a `np.random.Generator` that returns a batch, inputs and labels.
            learning_rate: initial rate of a cosine decay to 0.
            warmup: share of the steps in which the rate first rises linearly.
            looks: parts of the training, each followed by a look.
            look: function of the model, called after each part.
        """
        keras.utils.set_random_seed(self.seed)
        self.bar.update(self.task, description=name)
        model = make()
        rising = int(warmup * self.steps)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0 if rising else learning_rate,
            self.steps - rising,
            warmup_target=learning_rate if rising else None,
            warmup_steps=rising,
        )
        model.compile(
            keras.optimizers.Adam(schedule, global_clipnorm=1.0),
            loss=ka.SequenceCrossentropy(),
            jit_compile=True,  # which Keras leaves out for recurrent layers on TensorFlow
        )
        seen, seconds, first = [], 0.0, 0
        for i in range(looks):
            last = self.steps * (i + 1) // looks
            start = time.perf_counter()
            # Part after part, since what is looked at is none of the training's time.
            model.fit(
                _Batches(draw, self.seed, first, last),
                verbose=0,
                shuffle=False,
                callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=self._advance)],
            )
            seconds += time.perf_counter() - start
            first = last
            if look is not None:
                seen.append(look(model))
        self.bar.console.print(f"{name}: {self.steps} steps in {seconds:.0f} s")
        return model, seconds, seen

    def _advance(self, batch, logs):
        advance(self.bar, self.task)


class _Batches(keras.utils.PyDataset):
    """Batches `first` to `last`, each drawn from the seed and its number."""

    def __init__(self, draw, seed, first, last):
        super().__init__()
        self.draw, self.seed, self.first, self.last = draw, seed, first, last

    def __len__(self):
        return self.last - self.first

    def __getitem__(self, index):
        return self.draw(np.random.default_rng([self.seed, self.first + index]))


@dataclasses.dataclass(frozen=True)
class Right:
    """Right predictions of a model for each of several sequences.

    Args:
        tokens: bool `(B, T)`, tokens predicted right given the right ones before them.
        counts: bool `(B, T)`, True where there is a token.
    """

    tokens: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, logits, labels):
        return cls(np.argmax(logits, axis=-1) == labels, labels != 0)

    def of_tokens(self, rows=slice(None)):
        """Share of the tokens."""
        return self.tokens[rows][self.counts[rows]].mean()

    def of_sequences(self, rows=slice(None)):
        """Share of the sequences all of whose tokens are right, as in greedy search."""
        return np.all(self.tokens | ~self.counts, axis=1)[rows].mean()


def predict(model, inputs, batch_size=100):
    """The logits of all sequences of `inputs`."""
    return model.predict(inputs, batch_size=batch_size, verbose=0)


def print_table(title, columns, rows):
    """Prints rows of texts as a table in Markdown."""
    table = Table(*columns, box=box.MARKDOWN)
    for row in rows:
        table.add_row(*map(str, row))
    console = Console(width=240)
    console.print(title)
    console.print(table)


def save(figure, path):
    """Writes a matplotlib figure as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.set_layout_engine("tight")
    figure.savefig(path, dpi=90)
    Console().print(f"Wrote {path}")
