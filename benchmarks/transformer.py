"""A Transformer: training and cached decoding, against torch.nn, KerasHub and CTranslate2.

    python benchmarks/transformer.py [--seconds 10] [--torch-python PATH] [--keras-hub-python PATH]

4 blocks on each side, 256 units, 8 heads, inner layers of 1024, 1000 tokens; 32 sources and targets
of 32 tokens; float32. Training: one step of gradient descent, of the same function of the same
weights; the same losses come out before anything is timed. Greedy decoding: 32 tokens, since no
token ends an answer. CTranslate2 has the same weights, and the same tokens come out; it runs with
one thread and with two, since two are slower on some machines. KerasHub decodes with
`BartSeq2SeqLM.generate`, of the same sizes and with weights of its own. "exported" is
a SavedModel as TensorFlow Serving runs it: batch and length unknown, no XLA. Environments:

    python3.11 -m venv torchenv && torchenv/bin/pip install torch==2.13.0 numpy
    python3.11 -m venv hubenv
    hubenv/bin/pip install keras-hub==0.32.0 tensorflow==2.21.0 ctranslate2==4.8.5
"""

import contextlib
import json
import sys
from pathlib import Path

import click
import numpy as np
from decoder_workers import check_losses
from rich.console import Console
from rich.table import Table
from side_by_side import Worker, in_turns, median_ms

HERE = Path(__file__).parent
SIZES = {
    **{"batch": 32, "source": 32, "target": 32, "vocabulary": 1000},
    **{"units": 256, "heads": 8, "layers": 4, "inner": 1024, "rate": 0.01},
    "threads": (1, 2),  # of CTranslate2
}
WAYS = {"ours, XLA": "_xla", "ours, tf.function": "", "ours, exported": "_exported"}


def started(stack, pythons):
    """Workers by name, with the same weights and data; a peer only where there is a Python."""
    workers = {}
    for name, python in pythons.items():
        script = HERE / f"transformer_{name}.py"
        worker = Worker(python, script, json.dumps(SIZES), TF_CPP_MIN_LOG_LEVEL="3")
        stack.callback(worker.close)
        workers[name] = worker
        if name != "ours":
            ours = workers["ours"]
            worker.call("setup", **ours.call("weights"), **ours.call("data"))
    return workers


def training(workers):
    ours = workers["ours"]
    contestants = {"ours, XLA": (ours, "train_xla"), "ours, tf.function": (ours, "train")}
    if "torch" in workers:
        contestants["torch.nn"] = (workers["torch"], "train")
    if "keras_hub" in workers:
        contestants["KerasHub, XLA"] = (workers["keras_hub"], "train_xla")
        contestants["KerasHub, tf.function"] = (workers["keras_hub"], "train")
    check_losses(contestants)
    return contestants


def decoding(workers, batch):
    """Raises unless all that have our weights answer alike."""
    same = {way: (workers["ours"], f"greedy{suffix}_{batch}") for way, suffix in WAYS.items()}
    if "ctranslate2" in workers:
        for threads in SIZES["threads"]:
            function = f"greedy_{batch}_threads_{threads}"
            same[f"CTranslate2, threads: {threads}"] = (workers["ctranslate2"], function)
    expected = None
    for name, (worker, function) in same.items():
        ids = worker.call(function, ids=1)["ids"]
        expected = ids if expected is None else expected
        if not np.array_equal(ids, expected):
            raise RuntimeError(f"{name}: other tokens in {(ids != expected).mean():.1%} of places")
    if "keras_hub" in workers:
        same["KerasHub generate()"] = (workers["keras_hub"], f"greedy_{batch}")
    return same


@click.command(help=__doc__.split("\n")[0])
@click.option("--seconds", default=10.0, help="How long to measure each.")
@click.option("--only", default="", help='Only what has this in its title, such as "batch 1".')
@click.option("--torch-python", help="A Python with torch.")
@click.option("--keras-hub-python", help="A Python with keras-hub, TensorFlow and ctranslate2.")
def main(seconds, only, torch_python, keras_hub_python):
    pythons = {"ours": sys.executable, "torch": torch_python, "keras_hub": keras_hub_python}
    pythons["ctranslate2"] = keras_hub_python
    pythons = {name: python for name, python in pythons.items() if python}
    console = Console()
    table = Table(title="milliseconds; how many times as long as the fastest of ours")
    for column in ("work", "who", "ms", "least", "ratio"):
        table.add_column(column, justify="left" if column in ("work", "who") else "right")
    with contextlib.ExitStack() as stack:
        workers = started(stack, pythons)
        batches = (SIZES["batch"], 1)
        work = {f"training step, batch {batches[0]}": lambda: training(workers)}
        for batch in batches:
            work[f"greedy, batch {batch}"] = lambda batch=batch: decoding(workers, batch)
        for title, contestants in work.items():
            if only not in title:
                continue
            times = in_turns(contestants(), seconds)
            best = min(median_ms(x) for name, x in times.items() if name.startswith("ours"))
            for name, x in times.items():
                median = median_ms(x)
                least, ratio = 1000 * min(x), median / best
                table.add_row(title, name, f"{median:.1f}", f"{least:.1f}", f"{ratio:.2f}")
            table.add_section()
    console.print(table)


if __name__ == "__main__":
    main()
