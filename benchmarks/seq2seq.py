"""Recurrent encoder-decoders: training and search, against TensorFlow Addons.

    python benchmarks/seq2seq.py --tfa-python PATH [--seconds 10]

The decoder of `decoder.py`, which says how to make the environment of PATH. The peer is
`AttentionWrapper` with `BasicDecoder` or `BeamSearchDecoder` in a `tf.function`, compiled
beforehand. Both have the same weights; the same losses and the same tokens come out of them before
anything is timed, of a beam search those of all hypotheses. Searches run for 30 steps, since no
token ends them. "exported" is a SavedModel as TensorFlow Serving runs it: batch and length
unknown, no XLA.
"""

import click
from decoder_workers import SIZES, check_ids, check_losses, measured, started
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

WAYS = {"XLA": "_xla", "tf.function": "", "exported": "_exported"}


def work(workers):
    """By title: the check before the timing, and the contestants, the peer last."""
    ours, tfa = workers["ours"], workers["tfa"]
    yield (
        f"training step, batch {SIZES['batch']}",
        check_losses,
        {"XLA": (ours, "train_xla"), "tf.function": (ours, "train"), "tfa": (tfa, "train")},
    )
    # A search joins by its name and functions of that name in both workers.
    for search, title in {"greedy": "greedy", "beam": f"beam {SIZES['beam']}"}.items():
        for size in (SIZES["batch"], 1):
            name = f"{search}_{size}"
            contestants = {way: (ours, name + suffix) for way, suffix in WAYS.items()}
            yield f"{title}, batch {size}", check_ids, {**contestants, "tfa": (tfa, name)}


@click.command(help=__doc__.split("\n")[0])
@click.option("--seconds", default=10.0, help="How long to measure each.")
@click.option("--only", default="", help='Only what has this in its title, such as "beam 5".')
@click.option("--tfa-python", required=True, help="A Python with tensorflow-addons.")
def main(seconds, only, tfa_python):
    console = Console()
    table = Table(title="ours against TensorFlow Addons")
    for column in ("work", "ours", "ms", "least", "tfa ms", "times as fast", "peak MB", "tfa MB"):
        table.add_column(column, justify="left" if column in ("work", "ours") else "right")
    with started(tfa_python) as workers, Progress(console=console, transient=True) as progress:
        for title, check, contestants in work(workers):
            if only not in title:
                continue
            task = progress.add_task(title, total=None)
            check(contestants)
            rows = measured(contestants, seconds, lambda task=task: progress.advance(task))
            peer_ms, _, peer_mb = rows.pop("tfa")
            for way, (median, least, memory) in rows.items():
                numbers = (median, least, peer_ms, peer_ms / median, memory, peer_mb)
                texts = [f"{x:.{d}f}" for x, d in zip(numbers, (1, 1, 1, 2, 1, 1), strict=True)]
                table.add_row(title, way, *texts)
            table.add_section()
            progress.remove_task(task)
    console.print(table)


if __name__ == "__main__":
    main()
