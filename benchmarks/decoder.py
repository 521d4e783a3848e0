"""Cost of a training step of a recurrent decoder with attention.

    python benchmarks/decoder.py [--seconds 20] [--sources 50] [--tfa-python PATH] [--plot cost.png]

One step of gradient descent of `RNNDecoder`: 64 targets of 30 tokens that attend additively to 50
positions, or as many as `--sources` says; GRU, embeddings, memory and scores of 256 units, 1000
tokens; float32. Peers: the same decoder as `keras.layers.RNN` around a cell of one's own, its keys
projected once; and as TensorFlow Addons' `AttentionWrapper`, for which PATH is a Python with it:

    python3.11 -m venv tfa
    tfa/bin/pip install tensorflow==2.15.1 tensorflow-addons==0.23 "numpy<2" typeguard

All start from the same weights and have the same losses before anything is timed; then they run in
turns. The limit is the time of the step's multiply-adds at the rate of one large product.
"""

import click
from decoder_workers import SIZES, check_losses, floor_ms, measured, started
from rich.console import Console
from rich.progress import Progress
from rich.table import Table


def multiply_adds(source):
    """Of one step: each product forward, and twice as much back."""
    sizes = {**SIZES, "source": source}
    batch, source, target, units, vocabulary, _ = sizes.values()
    rows = batch * target
    gates = 3 * units
    forward = rows * (2 * units * gates + units * gates)  # [x; c] and h to the gates
    forward += rows * units * units + batch * source * units * units  # queries and keys
    forward += rows * (2 * units * units + units * vocabulary)  # [h; c] to the logits
    forward += 2 * rows * source * units  # scores and contexts
    return 3 * forward


def measure(source, seconds, tfa_python, tick):
    """Of memories so long: rows by name, as `measured` has them, and the limit, in milliseconds."""
    with started(tfa_python, source=source) as workers:
        ours = workers["ours"]
        contestants = {
            "ours, XLA": (ours, "train_xla"),
            "ours": (ours, "train"),
            "Keras RNN, XLA": (ours, "keras_xla"),
            "Keras RNN": (ours, "keras"),
        }
        if "tfa" in workers:
            contestants["tfa"] = (workers["tfa"], "train")
        check_losses(contestants)
        rows = measured(contestants, seconds, tick)
        return rows, floor_ms(ours, multiply_adds(source))


def table(source, rows, limit):
    peers = [name for name in rows if not name.startswith("ours")]
    made = Table(title=f"one training step, {source} positions; times as fast as the peer")
    for column in ("", "ms", "least", "times the limit", "peak MB", *peers):
        made.add_column(column, justify="left" if not column else "right")
    for name, (median, least, memory) in rows.items():
        ratios = [f"{rows[peer][0] / median:.2f}" for peer in peers]
        figures = f"{median:.1f}", f"{least:.1f}", f"{median / limit:.1f}", f"{memory:.0f}"
        made.add_row(name, *figures, *ratios)
    count = multiply_adds(source) / 1e9
    made.add_row(f"limit, {count:.2f} G multiply-adds", f"{limit:.1f}")
    return made


def draw(found, path):
    """Time and memory against the length of the memory."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    lengths = list(found)
    for name in found[lengths[0]][0]:
        for panel, column in zip(panels, (0, 2), strict=True):
            panel.plot(lengths, [found[n][0][name][column] for n in lengths], "o-", label=name)
    panels[0].plot(lengths, [found[n][1] for n in lengths], "k--", label="limit")
    for panel, label in zip(panels, ("ms", "MB at the peak"), strict=True):
        panel.set(xlabel="positions of the memory", ylabel=label, xscale="log", yscale="log")
        panel.set_xticks(lengths, labels=[str(n) for n in lengths])
        panel.minorticks_off()
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.grid(alpha=0.3)
    panels[0].legend()
    figure.savefig(path, dpi=100)


@click.command(help=__doc__.split("\n")[0])
@click.option("--seconds", default=20.0, help="How long to measure, for each length.")
@click.option("--sources", default=str(SIZES["source"]), help="Positions of the memory.")
@click.option("--tfa-python", help="A Python with tensorflow-addons.")
@click.option("--plot", help="Where to draw cost against the length of the memory.")
def main(seconds, sources, tfa_python, plot):
    console, found = Console(), {}
    with Progress(console=console, transient=True) as progress:
        for source in map(int, sources.split(",")):
            task = progress.add_task(f"{source} positions", total=None)
            found[source] = measure(source, seconds, tfa_python, lambda t=task: progress.advance(t))
    for source, (rows, limit) in found.items():
        console.print(table(source, rows, limit))
    if plot:
        draw(found, plot)


if __name__ == "__main__":
    main()
