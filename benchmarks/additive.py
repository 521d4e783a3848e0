"""Cost of additive attention by the length of the sequences.

    python benchmarks/additive.py [--lengths 64,128,256] [--batch 8] [--units 256] [--seconds 6]
                                  [--keras-up-to 256] [--torch PYTHON] [--plot cost.png]

`BahdanauAttention`, the whole layer with its projections, against `keras.layers.AdditiveAttention`
with the same two Dense projections in front (it has none), both as Keras means them to be called:
in `tf.function`. Ours without XLA and with it. With `--torch`, a Python that has PyTorch, also
against `torch.compile` of the same formula, in a process of its own, in turns.

Forwards; and forwards and backwards, by all weights and inputs. Milliseconds are medians of calls
in turns, memory is the peak of TensorFlow's allocator beyond what was there before. The limit is
the time in which the processor could do the arithmetic that the fast form needs for each unit of
each pair, 4.5 operations forwards and 18 more backwards, at the rate measured for products of
matrices.

Without TensorFlow (KERAS_BACKEND=jax or torch), the layers of that backend are compared, compiled.
"""

import functools
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path[:0] = [str(Path(__file__).parents[1])]

MODES = ("forward", "forward + backward")
OPERATIONS = {"forward": 4.5, "forward + backward": 22.5}
PEER, OURS = "Keras", "ours"

# `torch.compile` of the formula with its projections; answers each line with a time in seconds.
TORCH = """
import json, sys, time, torch
batch, length, units, backward = map(int, sys.argv[1:])
torch.manual_seed(1)
query, memory = (torch.randn(batch, length, units) for _ in range(2))
w, u = (torch.nn.Parameter(torch.randn(units, units) * units**-0.5) for _ in range(2))
v = torch.nn.Parameter(torch.randn(units) * units**-0.5)

@torch.compile
def attend(query, memory):
    scores = torch.tanh((query @ w)[:, :, None] + (memory @ u)[:, None]) @ v
    return torch.softmax(scores, -1) @ memory

def call():
    if not backward:
        with torch.no_grad():
            return attend(query, memory)
    inputs = [x.detach().requires_grad_() for x in (query, memory)]
    return torch.autograd.grad(attend(*inputs).sum(), [*inputs, w, u, v])

for _ in range(3):
    call()
print("ready", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    call()
    print(time.perf_counter() - start, flush=True)
"""


class Torch:
    """A process with PyTorch, called once a line."""

    def __init__(self, python, *arguments):
        # Else every call would ask the kernel for its memory anew, several times slower.
        heap = {f"MALLOC_{name}_": str(1 << 33) for name in ("MMAP_THRESHOLD", "TRIM_THRESHOLD")}
        self.process = subprocess.Popen(
            [python, "-c", TORCH, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **heap},
        )
        if self.process.stdout.readline().strip() != "ready":
            raise click.ClickException("the Python of --torch has no working torch.compile")

    def __call__(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.kill()
        self.process.wait()


def layers(units):
    """Keras' layer behind two projections, and ours, as functions of query and memory."""
    import keras

    import keras_attention as ka

    class Projected(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.query, self.key = (keras.layers.Dense(units, use_bias=False) for _ in range(2))
            self.attention = keras.layers.AdditiveAttention()

        def call(self, query, value):
            return self.attention([self.query(query), value, self.key(value)])

    return {PEER: Projected(), OURS: ka.BahdanauAttention(units)}


def callables(backend, mode, batch, length, units, with_keras):
    """Functions to measure, by name: each returns when all is computed."""
    generator = np.random.default_rng(1)
    arrays = [generator.standard_normal((batch, length, units), dtype="float32") for _ in range(2)]
    make = {"tensorflow": in_tensorflow, "jax": in_jax, "torch": in_torch}[backend]
    found = {}
    for name, layer in layers(units).items():
        if name == PEER and not with_keras:
            continue
        layer(*arrays)
        found.update(make(name, layer, arrays, backward=mode != "forward"))
    return found


def in_tensorflow(name, layer, arrays, backward):
    import tensorflow as tf

    inputs = [tf.constant(x) for x in arrays]
    weights = [weight.value for weight in layer.trainable_weights]

    def function(query, value):
        if not backward:
            return layer(query, value)
        with tf.GradientTape() as tape:
            tape.watch([query, value])
            total = tf.reduce_sum(layer(query, value))
        return tape.gradient(total, [query, value, *weights])

    plain, compiled = (tf.function(function, jit_compile=jit) for jit in (False, True))
    return {
        name: functools.partial(plain, *inputs),
        f"{name}, XLA": functools.partial(compiled, *inputs),
    }


def in_jax(name, layer, arrays, backward):
    import jax

    states = [weight.value for weight in layer.non_trainable_variables]
    weights = [weight.value for weight in layer.trainable_variables]

    def function(weights, query, value):
        return layer.stateless_call(weights, states, query, value)[0]

    if backward:
        forward = function
        function = jax.grad(lambda *a: forward(*a).sum(), argnums=(0, 1, 2))
    compiled = jax.jit(function)
    inputs = [jax.device_put(x) for x in arrays]
    return {name: lambda: jax.block_until_ready(compiled(weights, *inputs))}


def in_torch(name, layer, arrays, backward):
    import torch
    from keras import ops

    inputs = [ops.convert_to_tensor(x).requires_grad_(backward) for x in arrays]
    weights = [weight.value for weight in layer.trainable_weights]

    def call(function):
        with torch.set_grad_enabled(backward):
            found = function(*inputs)
            if backward:
                found = torch.autograd.grad(found.sum(), [*inputs, *weights])
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return found

    found = {name: functools.partial(call, layer)}
    if name == PEER:
        found[f"{PEER}, torch.compile"] = functools.partial(call, torch.compile(layer))
    return found


def peak(call):
    """Bytes, or None where nobody counts them."""
    import keras

    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        if not torch.cuda.is_available():
            return None
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        return torch.cuda.max_memory_allocated() - before
    if backend != "tensorflow":
        return None
    import tensorflow as tf

    device = "GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0"
    try:
        before = tf.config.experimental.get_memory_info(device)["current"]
    except ValueError:
        return None
    tf.config.experimental.reset_memory_stats(device)
    call()
    return tf.config.experimental.get_memory_info(device)["peak"] - before


def timed(call):
    if isinstance(call, Torch):
        return call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def multiply_add_rate():
    """Floating-point operations per second of a product of matrices of this backend."""
    from keras import ops

    x = ops.ones((1024, 1024))
    times = []
    for _ in range(30):
        start = time.perf_counter()
        ops.convert_to_numpy(ops.matmul(x, x)[0, 0])
        times.append(time.perf_counter() - start)
    return 2 * 1024**3 / statistics.median(times)


def measure(mode, length, batch, units, seconds, with_keras, torch_python, advance):
    """Seconds and bytes by name, in turns."""
    import keras

    calls = callables(keras.backend.backend(), mode, batch, length, units, with_keras)
    if torch_python:
        calls["torch.compile"] = Torch(torch_python, batch, length, units, int(mode != "forward"))
    for call in calls.values():
        timed(call), timed(call)
    memory = {n: None if isinstance(c, Torch) else peak(c) for n, c in calls.items()}
    times = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, times.values())) < 3:
        for name, call in calls.items():
            times[name].append(timed(call))
        advance(min(1.0, 1 - (end - time.perf_counter()) / seconds))
    if torch_python:
        calls["torch.compile"].close()
    return {name: (statistics.median(times[name]), memory[name]) for name in calls}


def table(mode, rows, batch, units, rate):
    """One row for each length and peer; `rows` is `{length: {name: (seconds, bytes)}}`."""
    others = [n for n in next(iter(rows.values())) if n in ("torch.compile", f"{PEER}, XLA")]
    result = Table(title=f"additive attention, {mode}: B={batch}, U={units}, float32")
    for name in ("T", "", "ms", "MB", f"{PEER} / it", "memory, of Keras'"):
        result.add_column(name, justify="right", no_wrap=True)
    for name in (*others, "times the limit"):
        result.add_column(name if name == "times the limit" else f"{name} / it", justify="right")
    for length, found in rows.items():
        least = limit(mode, length, batch, units, rate)
        for name, (seconds, memory) in found.items():
            known = memory is not None and memory > 0
            result.add_row(
                str(length),
                name,
                f"{seconds * 1e3:.2f}",
                f"{memory / 1e6:.1f}" if known else "",
                f"{found[PEER][0] / seconds:.2f}" if PEER in found else "",
                f"1/{found[PEER][1] / memory:.0f}" if known and found.get(PEER, (0, 0))[1] else "",
                *(f"{found[x][0] / seconds:.2f}" if x in found else "" for x in others),
                f"{seconds / least:.1f}",
            )
        result.add_row("", "limit", f"{least * 1e3:.2f}", end_section=True)
    return result


def limit(mode, length, batch, units, rate):
    """Seconds."""
    return OPERATIONS[mode] * batch * length**2 * units / rate


def draw(found, batch, units, rate, path):
    """Cost against length, one panel for each mode."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(found), figsize=(10, 7), squeeze=False, sharex=True)
    for (time_axis, memory_axis), (mode, rows) in zip(axes.T, found.items(), strict=True):
        for name in next(iter(rows.values())):
            lengths = [t for t in rows if name in rows[t]]
            time_axis.plot(lengths, [rows[t][name][0] * 1e3 for t in lengths], "o-", label=name)
            if all(rows[t][name][1] for t in lengths):
                megabytes = [rows[t][name][1] / 1e6 for t in lengths]
                memory_axis.plot(lengths, megabytes, "o-", label=name)
        lengths = list(rows)
        limits = [1e3 * limit(mode, length, batch, units, rate) for length in lengths]
        time_axis.plot(lengths, limits, "k--", label="limit")
        time_axis.set(title=mode, ylabel="ms", xscale="log", yscale="log")
        memory_axis.set(xlabel="length of query and memory", ylabel="MB at the peak", yscale="log")
        memory_axis.set_xticks(lengths, labels=[str(length) for length in lengths])
        memory_axis.minorticks_off()
        time_axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


@click.command()
@click.option("--lengths", default="64,128,256", help="Steps of query and memory.")
@click.option("--batch", default=8, help="Batch size.")
@click.option("--units", default=256, help="Units and feature sizes.")
@click.option("--seconds", default=6.0, help="Seconds for each length and mode.")
@click.option("--keras-up-to", default=256, help="Longest for Keras' own.")
@click.option("--torch", "torch_python", help="A Python that has PyTorch, to compare with it too.")
@click.option("--plot", help="Where to draw cost against length.")
@click.option("--json", "json_path", help="Where to write the figures as JSON.")
def main(lengths, batch, units, seconds, keras_up_to, torch_python, plot, json_path):
    """Compares BahdanauAttention with Keras' AdditiveAttention."""
    rate, found = multiply_add_rate(), {}
    cells = [(mode, int(length)) for mode in MODES for length in lengths.split(",")]
    with Progress(console=Console(stderr=True)) as progress:
        for mode, length in cells:
            task = progress.add_task(f"{mode}, T={length}", total=1.0)
            found.setdefault(mode, {})[length] = measure(
                mode,
                length,
                batch,
                units,
                seconds,
                length <= keras_up_to,
                torch_python,
                lambda share, task=task: progress.update(task, completed=share),
            )
    console = Console(width=130)
    for mode, rows in found.items():
        console.print(table(mode, rows, batch, units, rate))
    console.print(f"products of matrices: {rate / 1e9:.0f} GFLOP/s")
    if plot:
        draw(found, batch, units, rate, plot)
    if json_path:
        Path(json_path).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
