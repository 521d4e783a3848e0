"""Progress of long work: a bar, a rate, the time that remains."""

from typing import Any

import keras
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def bar(unit: str, console: Console | None = None) -> Progress:
    """A `rich` progress bar that counts `unit`s and shows their rate and the remaining time."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f} " + unit + "/s"),
        TextColumn("elapsed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console or Console(),
    )


def advance(progress: Progress, task: Any, steps: int = 1) -> None:
    """Counts `steps` more and brings the rate up to date."""
    progress.update(task, advance=steps, rate=progress.tasks[task].speed or 0.0)


class TrainingProgress(keras.callbacks.Callback):
    """Shows a bar over all steps of `fit`, and a line of figures after each of its epochs.

    Args:
        steps: steps of the whole training.
        parts: epochs of `fit` in a pass over the training lines.
        console: a `rich` console.

    Attributes:
        steps_done: steps that an earlier run took.
    """

    def __init__(self, steps: int, parts: int = 1, console: Console | None = None) -> None:
        super().__init__()
        self.steps = steps
        self.parts = parts
        self.steps_done = 0
        self.bar = bar("steps", console)
        self.task: Any = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if self.task is None:  # else one more call of `fit` in the same training
            self.task = self.bar.add_task(
                "training", total=self.steps, completed=self.steps_done, rate=0.0
            )
        self.bar.start()

    def on_train_batch_end(self, batch: Any, logs: dict[str, float] | None = None) -> None:
        advance(self.bar, self.task)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        figures = "  ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        passes = [f"{x / self.parts:.3g}" for x in (epoch + 1, self.params["epochs"])]
        self.bar.console.print(f"epoch {passes[0]}/{passes[1]}  {figures}")

    def close(self) -> None:
        """Takes the bar off the screen, however training ended."""
        self.bar.stop()
