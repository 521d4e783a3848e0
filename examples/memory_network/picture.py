"""Picture of the weights of each hop of a memory network over a story."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from .stories import WORDS, arrays

LONGEST = 16  # sentences that fit


def draw(model, questions, path):
    """Draws the hops over the sentences of two stories: a PNG.

    Args:
        model: a `MemoryNetwork` that was trained on such questions.
        questions: of which the two longest that fit are drawn.
        path: where to write.
    """
    fitting = [q for q in questions if len(q.story) <= LONGEST]
    chosen = sorted(fitting, key=lambda q: len(q.story))[-2:]
    inputs, _ = arrays(chosen)
    found = {name: np.asarray(x) for name, x in model.predict(inputs, verbose=0).items()}
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    for panel, q, answer, attention in zip(
        figure.subplots(1, len(chosen)), chosen, found["answer"], found["attention"], strict=True
    ):
        weights = attention[:, : len(q.story)].T
        panel.imshow(weights, aspect="auto", cmap="Blues", vmin=0, vmax=1)
        panel.set_yticks(range(len(q.story)), q.story, fontsize=8)
        hops = range(weights.shape[1])
        panel.set_xticks(hops, [f"hop {hop + 1}" for hop in hops], fontsize=8)
        for (row, column), weight in np.ndenumerate(weights):
            if weight >= 0.05:
                color = "white" if weight > 0.5 else "black"
                panel.text(
                    column, row, f"{weight:.2f}", ha="center", va="center", color=color, fontsize=7
                )
        said = WORDS[int(answer.argmax()) - 1]
        title = f"{q.question}?\n{said} ({answer.max():.0%}), right: {q.answer}"
        panel.set_title(title, fontsize=9)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
