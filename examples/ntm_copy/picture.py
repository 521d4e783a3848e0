"""Picture of a Neural Turing Machine: target, output, and the weights of its heads."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from .tasks import CHOOSE, Copy


def draw(model, task, path):
    """Draws one sequence of the longest size trained on: a PNG.

    Args:
        model: the result of `models.with_weights`.
        task: a task of `tasks`.
        path: where to write.
    """
    size = task.sizes[1]
    inputs, targets, counts = task.batch(np.random.default_rng([CHOOSE, 7]), 1, size, size)
    found = {name: np.asarray(x)[0] for name, x in model.predict(inputs, verbose=0).items()}
    panels = {
        "input": inputs[0].T,
        "target": targets[0].T,
        "output, where it counts": (found["bits"] * counts[:, None]).T,
        "write head, by location": shown(found["write"][:, 0]),
        "read head, by location": shown(found["read"][:, 0]),
    }
    heights = [3, 3, 3, 8, 8] if isinstance(task, Copy) else [3, 2, 2, 8, 8]
    figure = Figure(figsize=(7, 7), layout="constrained")
    axes = figure.subplots(len(panels), height_ratios=heights, sharex=True)
    for panel, (title, values) in zip(axes, panels.items(), strict=True):
        panel.imshow(values, aspect="auto", cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
        panel.set_title(title, fontsize=9, loc="left")
        panel.set_yticks([])
    axes[-1].set_xlabel("step")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def shown(weights):
    """The locations in use, `(locations, T)`: turned so that the largest unused gap is left out."""
    used = weights.max(axis=0) > 0.1
    count = len(used)
    if not used.any() or used.all():
        return weights.T
    gaps = [
        next(n for n in range(count + 1) if used[(start + n) % count]) for start in range(count)
    ]
    start = int(np.argmax(gaps))
    return np.roll(weights, -(start + gaps[start]), axis=1)[:, : count - gaps[start]].T
