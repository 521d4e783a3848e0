"""Cost of dot-product attention, in time and memory, by length.

    python benchmarks/dot_product.py [--lengths 1024,4096] [--torch-python PYTHON] [--plot FILE.png]

Forward, and forward with backward, 8 heads of 64 in float32, batch 1: `dot_product_attention`, and
the public layer's core (`attend_all` of `MultiHeadSelfAttention`, projections left out), against
the core of `keras.layers.MultiHeadAttention` (`keras.ops.dot_product_attention`), and against
PyTorch's `scaled_dot_product_attention`, in a process of an interpreter that has PyTorch. They take
turns, call by call; times are medians. Memory is what one call needs at most beyond its inputs,
measured in a process of its own. The limit is the multiply-adds alone at the rate of a large matrix
product, measured in the same run. With KERAS_BACKEND=jax or torch it runs without TensorFlow.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
sys.path[:0] = [str(REPOSITORY)]
HEADS, FEATURES = 8, 64
# A worker answers on standard output, one JSON value a line.
WORKER = "--worker"


def flops(length: int, backward: bool, causal: bool) -> float:
    """Two products forward; five more backward, one of them for the scores once more."""
    return (7 if backward else 2) * 2 * HEADS * FEATURES * length**2 / (2 if causal else 1)


# --- Workers: one process for each framework and each measurement of memory


def resident_bytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


def torch_runner(length: int, backward: bool, causal: bool):
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tensors = [torch.randn(1, HEADS, length, FEATURES, device=device) for _ in range(4)]
    query, key, value, gradient = tensors
    if backward:
        for x in (query, key, value):
            x.requires_grad_()

    def run():
        output = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=causal
        )
        found = torch.autograd.grad(output, (query, key, value), gradient) if backward else output
        if device == "cuda":
            torch.cuda.synchronize()
        return found

    return run


def keras_functions():
    """Ours and Keras', on `(B, H, T, D)`; Keras' takes the steps first, as its layer has them."""
    import keras

    import keras_attention as ka
    from keras_attention.ops import dot_product_attention

    layer = ka.MultiHeadSelfAttention(HEADS, FEATURES)
    layer.build((None, None, HEADS * FEATURES))
    # The projections are products of matrices on both sides, and the same.
    layer.project_query = layer.project_output = lambda x, positions=None: x

    def ours(query, key, value, causal):
        return dot_product_attention(query, key, value, causal=causal)

    def core(query, key, value, causal):
        return layer.attend_all(query, key, value, None, False, False, use_causal_mask=causal)[0]

    def peer(query, key, value, causal):
        return keras.ops.dot_product_attention(query, key, value, scale=1.0, is_causal=causal)

    return {"function": ours, "layer": core, "keras": peer}


def keras_runner(name: str, length: int, backward: bool, causal: bool, jit: bool):
    import keras
    import numpy as np

    function = keras_functions()[name]
    generator = np.random.default_rng(0)
    shape = (1, length, HEADS, FEATURES) if name == "keras" else (1, HEADS, length, FEATURES)
    scales = (FEATURES**-0.5, 1.0, 1.0, 1.0)
    arrays = [(s * generator.standard_normal(shape)).astype("float32") for s in scales]
    query, key, value, gradient = [keras.ops.convert_to_tensor(x) for x in arrays]
    return _ENGINES[keras.backend.backend()](
        function, query, key, value, gradient, backward, causal, jit
    )


def _tensorflow(function, query, key, value, gradient, backward, causal, jit):
    import tensorflow as tf

    @tf.function(jit_compile=jit, autograph=False)
    def step(query, key, value):
        if not backward:
            return function(query, key, value, causal)
        with tf.GradientTape() as tape:
            tape.watch([query, key, value])
            output = function(query, key, value, causal)
        return tape.gradient(output, [query, key, value], output_gradients=gradient)

    # Copied to NumPy without a copy on this device: waits until it is there.
    return lambda: [x.numpy() for x in tf.nest.flatten(step(query, key, value))]


def _jax(function, query, key, value, gradient, backward, causal, jit):
    import jax

    def forward(query, key, value):
        return function(query, key, value, causal)

    def both(query, key, value):
        _, pull = jax.vjp(forward, query, key, value)
        return pull(gradient)

    step = jax.jit(both if backward else forward)
    return lambda: jax.block_until_ready(step(query, key, value))


def _torch(function, query, key, value, gradient, backward, causal, jit):
    import torch

    inputs = [x.detach().requires_grad_(backward) for x in (query, key, value)]

    def run():
        output = function(*inputs, causal)
        found = torch.autograd.grad(output, inputs, gradient) if backward else output
        if query.is_cuda:
            torch.cuda.synchronize()
        return found

    return run


_ENGINES = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}


def runner(name: str, length: int, backward: bool, causal: bool, jit: bool):
    if name == "torch":
        return torch_runner(length, backward, causal)
    return keras_runner(name, length, backward, causal, jit)


def peak_bytes(run, name: str) -> int:
    """Memory that one call needs beyond what was there before it."""
    run()
    if name != "torch" and os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        import tensorflow as tf  # its allocator keeps what it once had: ask it

        before = tf.config.experimental.get_memory_info("CPU:0")["current"]
        tf.config.experimental.reset_memory_stats("CPU:0")
        run()
        return tf.config.experimental.get_memory_info("CPU:0")["peak"] - before
    before = resident_bytes("VmRSS:")
    Path("/proc/self/clear_refs").write_text("5")
    run()
    return resident_bytes("VmHWM:") - before


def gemm_rate() -> float:
    """Multiply-adds of a large product, doubled, per second: the fastest of several."""
    import keras

    size = 2048
    x = keras.ops.ones((size, size))
    times = []
    for _ in range(8):
        start = time.perf_counter()
        keras.ops.convert_to_numpy(keras.ops.matmul(x, x))
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


def work() -> None:
    """Answers requests: a rate, the peak of a call, or the seconds of one call of a case."""
    runs = {}
    for line in sys.stdin:
        kind, *case = json.loads(line)
        if kind == "rate":
            answer = gemm_rate()
        elif kind == "peak":
            answer = peak_bytes(runner(*case), case[0])
        elif kind == "drop":
            runs.clear()
            answer = None
        else:
            if tuple(case) not in runs:
                runs[tuple(case)] = runner(*case)
                runs[tuple(case)]()
                runs[tuple(case)]()
            start = time.perf_counter()
            runs[tuple(case)]()
            answer = time.perf_counter() - start
        print("\n" + WORKER + json.dumps(answer), flush=True)


class Worker:
    def __init__(self, python: str) -> None:
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        # Else PyTorch gives its memory back after each call and waits for it again in the next.
        environment |= {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": "-1"}
        self.process = subprocess.Popen(
            [python, __file__, WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )

    def ask(self, *request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith(WORKER):
                return json.loads(line.removeprefix(WORKER))
        raise RuntimeError(f"Expected an answer. Received: the end of the worker, at {request}")

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


# --- The tables


def cases_of(backend: str, torch_python: str | None, keras_up_to: int, length: int):
    """Label to `(python, name, jit)`; Keras' own needs the square of the length in memory."""
    here = sys.executable
    modes = {"": False, " XLA": True} if backend == "tensorflow" else {"": False}
    found = {
        f"{n}{label}": (here, n, jit) for n in ("function", "layer") for label, jit in modes.items()
    }
    if length <= keras_up_to:
        found["keras"] = (here, "keras", False)
    if torch_python:
        found["torch"] = (torch_python, "torch", False)
    return found


def main() -> None:
    import click
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    @click.command(help=__doc__)
    @click.option("--lengths", default="1024,2048,4096,8192,16384", show_default=True)
    @click.option("--rounds", default=7, show_default=True, help="Calls of each, in turns.")
    @click.option("--causal", is_flag=True)
    @click.option("--modes", default="forward,both", show_default=True)
    @click.option("--keras-up-to", default=4096, show_default=True, help="Longest for Keras' own.")
    @click.option("--torch-python", help="An interpreter that has PyTorch.")
    @click.option("--plot", type=click.Path(dir_okay=False), help="Draw cost against length.")
    def command(lengths, rounds, causal, modes, keras_up_to, torch_python, plot):
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        console = Console(width=100)
        lengths = [int(x) for x in lengths.split(",")]
        modes = [mode == "both" for mode in modes.split(",")]
        pythons = {sys.executable, *([torch_python] if torch_python else [])}
        workers = {python: Worker(python) for python in pythons}
        rate = workers[sys.executable].ask("rate")
        console.print(f"{backend}, large products: {rate / 1e9:.0f} GFLOP/s")
        rows = []
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("measuring", total=len(lengths) * len(modes))
            for length in lengths:
                for backward in modes:
                    cases = cases_of(backend, torch_python, keras_up_to, length)
                    times, peaks = {label: [] for label in cases}, {}
                    for _ in range(rounds if length <= 4096 else 3):
                        for label, (python, name, jit) in cases.items():
                            case = (name, length, backward, causal, jit)
                            times[label].append(workers[python].ask("time", *case))
                    for worker in workers.values():
                        worker.ask("drop")
                    for label, (python, name, jit) in cases.items():
                        alone = Worker(python)
                        peaks[label] = alone.ask("peak", name, length, backward, causal, jit)
                        alone.close()
                    median = {label: statistics.median(t) for label, t in times.items()}
                    rows.append((length, backward, median, peaks))
                    progress.advance(task)
        for worker in workers.values():
            worker.close()
        for backward in modes:
            title = "forward and backward" if backward else "forward"
            table = Table(title=title + (", causal" if causal else ""))
            for column in ("N", "what", "ms", "of limit", "MB", "MB, N / N/2"):
                table.add_column(column, justify="right")
            for peer in ("keras", "torch"):
                table.add_column(f"times as fast as {peer}", justify="right", max_width=10)
                table.add_column(f"MB of {peer} / its MB", justify="right", max_width=10)
            before: dict = {}
            for length, _, median, peaks in (row for row in rows if row[1] == backward):
                limit = flops(length, backward, causal) / rate
                for label, seconds in median.items():
                    against = []
                    for peer in ("keras", "torch"):
                        known = peer in median and peer != label
                        against += (
                            [
                                f"{median[peer] / seconds:.2f}",
                                f"{peaks[peer] / peaks[label]:.1f}",
                            ]
                            if known
                            else ["", ""]
                        )
                    grown = peaks[label] / before[label] if label in before else None
                    table.add_row(
                        str(length),
                        label,
                        f"{1e3 * seconds:.1f}",
                        f"{limit / seconds:.0%}",
                        f"{peaks[label] / 1e6:.0f}",
                        "" if grown is None else f"{grown:.2f}",
                        *against,
                    )
                before = peaks
                table.add_section()
            console.print(table)
        if plot:
            draw(rows, plot)

    command()


def draw(rows, path: str) -> None:
    from matplotlib.figure import Figure

    modes = sorted({row[1] for row in rows})
    lengths = sorted({row[0] for row in rows})
    figure = Figure(figsize=(5 * len(modes), 7), layout="constrained")
    axes = figure.subplots(2, len(modes), sharex=True, squeeze=False)
    for column, backward in enumerate(modes):
        chosen = [row for row in rows if row[1] == backward]
        labels = dict.fromkeys(label for row in chosen for label in row[2])
        for line, (name, index, unit) in enumerate((("time, ms", 2, 1e3), ("memory, MB", 3, 1e-6))):
            panel = axes[line][column]
            for label in labels:
                points = [
                    (row[0], row[index][label] * unit) for row in chosen if label in row[index]
                ]
                panel.loglog(*zip(*points, strict=True), marker="o", label=label)
            panel.set_ylabel(name)
            panel.set_xticks(lengths, [str(length) for length in lengths])
            panel.minorticks_off()
            panel.grid(alpha=0.3)
        axes[0][column].set_title("forward and backward" if backward else "forward")
        axes[1][column].set_xlabel("length N")
    axes[0][0].legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    work() if WORKER in sys.argv else main()
