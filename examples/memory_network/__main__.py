"""Memory networks with 1, 2 and 3 hops on two kinds of stories: prints errors, draws hops.

python -m memory_network [--questions 10000] [--seed 1] [--picture docs/memory_network.png]
"""

import argparse
import os
import time
from pathlib import Path

# Compiled, and on one thread: the operations are small.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

import keras_attention as ka  # noqa: E402
from keras_attention.training.progress import TrainingProgress  # noqa: E402

from . import picture, stories  # noqa: E402

# Seeds of questions: to train on those of `--seed`; to choose settings by; to report.
CHOOSE, REPORT = 1001, 1002


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=10_000, help="to train on, of each task")
    parser.add_argument("--tasks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--hops", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=14_000, help="of each training")
    parser.add_argument("--units", type=int, default=20)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--linear-epochs", type=int, default=10)
    parser.add_argument("--choose", action="store_true", help="figures to choose settings by")
    parser.add_argument("--folder", type=Path, default=Path("runs") / "memory_network")
    parser.add_argument("--picture", type=Path, help="a PNG to draw to")
    options = parser.parse_args()
    console = Console()
    heads = [f"{hops} hop{'s' * (hops > 1)}" for hops in options.hops]
    table = Table(
        "task", *heads, "seconds", title=f"wrong answers, {options.questions:,} training questions"
    )
    model = None
    for task in options.tasks:
        data = stories.arrays(stories.make(task, options.questions, options.seed))
        asked = stories.make(task, 1000, CHOOSE if options.choose else REPORT)
        cells, start = [], time.perf_counter()
        for hops in options.hops:
            console.print(f"task {task}, {hops} hops, seed {options.seed}")
            model = train(data, hops, options, console)
            cells.append(f"{error(model, asked):.1%}")
        table.add_row(str(task), *cells, f"{time.perf_counter() - start:.0f}")
    options.folder.mkdir(parents=True, exist_ok=True)
    model.save(options.folder / "model.keras")
    if options.picture:
        picture.draw(model, stories.make(options.tasks[-1], 100, CHOOSE), options.picture)
        console.print(f"Wrote {options.picture}")
    console.print(table)


def train(data, hops, options, console):
    """A network fitted to `data`, inputs and answers."""
    keras.utils.set_random_seed(options.seed)
    model = ka.MemoryNetwork(
        stories.VOCABULARY_SIZE,
        units=options.units,
        hops=hops,
        memory_size=stories.MEMORY,
        time_jitter=0.1,
        seed=options.seed,
    )
    rate = keras.optimizers.schedules.CosineDecay(options.rate, options.steps)
    model.compile(
        keras.optimizers.Adam(rate, global_clipnorm=40.0),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    inputs, answers = data
    held_out = len(answers) // 10
    fitted = {name: x[held_out:] for name, x in inputs.items()}
    kept = {name: x[:held_out] for name, x in inputs.items()}, answers[:held_out]
    batches = -(-len(answers[held_out:]) // 32)
    epochs = max(1, options.steps // batches)
    progress = Quiet(epochs * batches, every=max(1, epochs // 5), console=console)
    try:
        model.fit(
            fitted,
            answers[held_out:],
            batch_size=32,
            epochs=epochs,
            validation_data=kept,
            verbose=0,
            callbacks=[progress, ka.LinearStart(epochs=options.linear_epochs)],
        )
    finally:
        progress.close()
    return model


class Quiet(TrainingProgress):
    """Prints the figures of some epochs only."""

    def __init__(self, steps, every, console):
        super().__init__(steps, console=console)
        self.every = every

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0:
            super().on_epoch_end(epoch, logs)


def error(model, questions):
    """The share of wrong answers."""
    inputs, answers = stories.arrays(questions)
    found = model.predict(inputs, batch_size=len(answers), verbose=0)["answer"]
    return np.mean(found.argmax(-1) != answers)


if __name__ == "__main__":
    main()
