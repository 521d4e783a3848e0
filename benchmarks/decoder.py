"""What does a training step of a recurrent decoder with attention cost?

    python benchmarks/decoder.py [--seconds 20] [--tfa-python PATH]

One step of gradient descent of `RNNDecoder`: 64 targets of 30 tokens that attend additively to 50
positions; GRU, embeddings, memory and scores of 256 units, 1000 tokens; float32. Peers: the same
decoder as `keras.layers.RNN` around a cell of one's own, its keys projected once; and as
TensorFlow Addons' `AttentionWrapper`, for which PATH is a Python that has it:

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


def multiply_adds():
    """Of one step: each product forward, and twice as much back."""
    batch, source, target, units, vocabulary, _ = SIZES.values()
    rows = batch * target
    gates = 3 * units
    forward = rows * (2 * units * gates + units * gates)  # [x; c] and h to the gates
    forward += rows * units * units + batch * source * units * units  # queries and keys
    forward += rows * (2 * units * units + units * vocabulary)  # [h; c] to the logits
    forward += 2 * rows * source * units  # scores and contexts
    return 3 * forward


@click.command(help=__doc__.split("\n")[0])
@click.option("--seconds", default=20.0, help="How long to measure.")
@click.option("--tfa-python", help="A Python with tensorflow-addons.")
def main(seconds, tfa_python):
    console = Console()
    with started(tfa_python) as workers, Progress(console=console, transient=True) as progress:
        task = progress.add_task("compiling", total=None)
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
        progress.update(task, description="rounds")
        rows = measured(contestants, seconds, lambda: progress.advance(task))
        limit = floor_ms(ours, multiply_adds())
    peers = [name for name in contestants if not name.startswith("ours")]
    table = Table(title="one training step; times as fast as the peer")
    for column in ("", "ms", "least", "peak MB", *peers):
        table.add_column(column, justify="left" if not column else "right")
    for name, (median, least, memory) in rows.items():
        ratios = [f"{rows[peer][0] / median:.2f}" for peer in peers]
        table.add_row(name, f"{median:.1f}", f"{least:.1f}", f"{memory:.0f}", *ratios)
    console.print(table)
    share = limit / rows["ours, XLA"][0]
    console.print(f"Limit {limit:.1f} ms for {multiply_adds() / 1e9:.2f} G multiply-adds, ", end="")
    console.print(f"of which ours with XLA needs {1 / share:.1f} times as much.")


if __name__ == "__main__":
    main()
