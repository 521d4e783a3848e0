"""Neural Turing Machine and LSTM on the same task: prints errors, draws the heads.

python -m ntm_copy [--task copy|recall] [--seed 1] [--steps N] [--picture docs/ntm_copy.png]
"""

import argparse
import os
import time
from pathlib import Path

# Small operations in a loop: compiled, and on one thread, several times as fast.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from keras_attention.training.progress import TrainingProgress  # noqa: E402

from . import models, picture, tasks  # noqa: E402

LOOKS = 20  # lines of figures in a training
LOCATIONS = 128  # as in the paper; training gets along with fewer and takes less time
# What was found to learn each task, where the command does not say otherwise.
RECIPES = {
    "copy": {"controller": "dense", "steps": 1500, "batch_size": 16, "rate": 5e-3},
    "recall": {"controller": "lstm", "steps": 24000, "batch_size": 4, "rate": 1e-3},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=list(RECIPES), default="copy")
    parser.add_argument("--model", choices=["ntm", "lstm", "both"], default="both")
    parser.add_argument("--controller", choices=["dense", "lstm"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--locations", type=int, default=32, help="in training")
    parser.add_argument("--choose", action="store_true", help="figures to choose settings by")
    parser.add_argument("--folder", type=Path, default=Path("runs") / "ntm")
    parser.add_argument("--picture", type=Path, help="a PNG to draw to")
    options = parser.parse_args()
    for name, value in RECIPES[options.task].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    console = Console()
    task, sizes = {
        "copy": (tasks.Copy(), (10, 20, 30, 50, 120)),
        "recall": (tasks.Recall(), (2, 4, 6, 8, 10, 15)),
    }[options.task]
    inputs_size = task.batch(np.random.default_rng(0), 1, 2, 2)[0].shape[-1]
    stream = tasks.CHOOSE if options.choose else tasks.REPORT
    table = Table(
        "model", "parameters", "seconds", *map(str, sizes), title="share of wrong bits, by size"
    )
    for name in ("ntm", "lstm") if options.model == "both" else (options.model,):
        keras.utils.set_random_seed(options.seed)
        if name == "ntm":
            heads, locations = options.heads, options.locations
            model = models.ntm(
                inputs_size, task.bits, options.controller, locations=locations, heads=heads
            )
        else:
            model = models.lstm(inputs_size, task.bits)
        console.print(f"{name} with {model.count_params():,} parameters, seed {options.seed}")
        seconds = train(model, task, options, console)
        if name == "ntm":
            model = models.with_locations(model, LOCATIONS)
        errors = [tasks.bit_error(model, task, size, max(sizes), stream) for size in sizes]
        shares = "  ".join(
            f"{size}: {share:.2%}" for size, (share, _) in zip(sizes, errors, strict=True)
        )
        console.print(f"{name}: wrong bits by size  {shares}")
        cells = [f"{share:.2%}\n{wrong:.1f} bits" for share, wrong in errors]
        table.add_row(name, f"{model.count_params():,}", f"{seconds:.0f}", *cells)
        options.folder.mkdir(parents=True, exist_ok=True)
        model.save(options.folder / f"{options.task}_{name}.keras")
        if name == "ntm" and options.picture:
            picture.draw(models.with_weights(model), task, options.picture)
            console.print(f"Wrote {options.picture}")
    console.print(table)


def train(model, task, options, console):
    """Fits the model; returns the seconds, compilation included."""
    model.compile(keras.optimizers.Adam(global_clipnorm=10.0), "binary_crossentropy")
    slower = keras.callbacks.LearningRateScheduler(
        lambda look: options.rate * (1 + np.cos(np.pi * look / LOOKS)) / 2
    )
    progress = TrainingProgress(options.steps, console=console)
    start = time.perf_counter()
    try:
        batches = tasks.Batches(task, options.steps // LOOKS, options.batch_size, options.seed)
        model.fit(batches, epochs=LOOKS, shuffle=False, verbose=0, callbacks=[progress, slower])
    finally:
        progress.close()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
