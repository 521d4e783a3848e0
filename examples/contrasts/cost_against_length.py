"""Time and memory of one layer against the length of the sequence.

PYTHONPATH=examples python -m contrasts.cost_against_length [--seed 1] [--steps 5]
    [--lengths 128,256,512,1024,2048] [--picture FILE]

A recurrent layer (LSTM), self-attention (Keras' and ours) and a causal convolution, of one width,
forward and backward with respect to inputs and weights. Times are processor seconds, summed over
all processors, medians of `--steps` calls in turns. Memory is the peak of a process above its
level before the call, as Linux reports it. The exponent k of cost ~ T^k is fitted to the three
longest lengths, where the fixed cost of a call weighs least. Vaswani et al. (2017, table 1) give
exponents of 1 for recurrence and convolution and 2 for self-attention, in operations; of sequential
operations they give T for recurrence and 1 for the others.
"""

import ctypes
import multiprocessing
import os
import statistics
import time
import unittest.mock
from pathlib import Path

import click
import keras
import numpy as np
from keras import ops
from matplotlib.figure import Figure

import keras_attention as ka
from contrasts.experiment import options, print_table, save
from keras_attention.training.progress import advance, bar

WIDTH, HEADS, KERNEL, BATCH = 64, 4, 5, 4
LENGTHS = (128, 256, 512, 1024, 2048)
FITTED = 3  # of the longest


def layers():
    return {
        "recurrent": keras.layers.LSTM(WIDTH, return_sequences=True),
        "attention, Keras": keras.layers.MultiHeadAttention(HEADS, WIDTH // HEADS),
        "attention, ours": ka.MultiHeadSelfAttention(HEADS, WIDTH // HEADS),
        "convolution": keras.layers.Conv1D(WIDTH, KERNEL, padding="causal"),
    }


def calls(length):
    """Functions by layer that run it forward and backward."""
    import tensorflow as tf

    inputs = tf.random.normal((BATCH, length, WIDTH))

    def call_of(layer):
        arguments = 2 if isinstance(layer, keras.layers.MultiHeadAttention) else 1
        layer(*[inputs[:, :2]] * arguments)

        @tf.function
        def call():
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                loss = ops.sum(layer(*[inputs] * arguments))
            return tape.gradient(loss, [inputs, *(v.value for v in layer.trainable_variables)])

        return call

    return {name: call_of(layer) for name, layer in layers().items()}


def peak(call):
    """Peak bytes of the process during a call, above those before it."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed is no longer the process's
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak to what there is now
    before = _status("VmRSS")
    call()
    return _status("VmHWM") - before


def _status(name):
    """A figure of this process's memory in bytes."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if name in x)
    return 1024 * int(line.split()[1])


def peaks(lengths):
    """Peak bytes by layer and length, each measured in a separate process."""
    # Of the memory that oneDNN manages, it gives none back; TensorFlow's own count of it leaves out
    # small tensors, of which a recurrent layer has thousands.
    with unittest.mock.patch.dict(os.environ, TF_ENABLE_ONEDNN_OPTS="0"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.map(_peaks_at, lengths, chunksize=1)
    return {name: [at_length[name] for at_length in found] for name in found[0]}


def _peaks_at(length):
    functions = calls(length)
    for call in functions.values():
        call()  # the first one compiles
    return {name: peak(call) for name, call in functions.items()}


def exponent(lengths, costs, fitted=FITTED):
    """k of `cost ~ length ** k`, by least squares of the logarithms, from the longest lengths."""
    return np.polyfit(np.log(lengths[-fitted:]), np.log(costs[-fitted:]), 1)[0]


def times(lengths, steps, console=None):
    """Median processor seconds by layer and length."""
    found = {}
    with bar("calls", console) as progress:
        task = progress.add_task("", total=len(lengths) * steps, rate=0.0)
        for length in lengths:
            progress.update(task, description=f"{length} steps")
            functions = calls(length)
            for call in functions.values():
                call()  # the first one compiles
            seconds = {name: [] for name in functions}
            for _ in range(steps):
                for name, call in functions.items():
                    start = time.process_time()
                    ops.convert_to_numpy(call()[0])
                    seconds[name].append(time.process_time() - start)
                advance(progress, task)
            for name, of_calls in seconds.items():
                found.setdefault(name, []).append(statistics.median(of_calls))
    return found


def draw_figure(lengths, seconds, memory):
    figure = Figure(figsize=(10, 4))
    kinds = ((seconds, 1e3, "milliseconds of processors"), (memory, 1e-6, "MB at the peak"))
    for axes, (found, factor, label) in zip(figure.subplots(1, 2), kinds, strict=True):
        for name, costs in found.items():
            name = f"{name}: T^{exponent(lengths, costs):.2f}"
            axes.loglog(lengths, factor * np.array(costs), "o-", markersize=4, label=name)
        axes.set(xlabel="length T", ylabel=label)
        axes.set_xticks(lengths, [str(length) for length in lengths])
        axes.minorticks_off()
        axes.legend(fontsize=8)
    return figure


def report(lengths, seconds, memory, picture):
    """Prints the table and writes the picture."""
    print_table(
        f"forwards and backwards, {BATCH} sequences, width {WIDTH}: milliseconds / MB at the peak",
        ("layer", *map(str, lengths), "exponent of time", "of memory"),
        [
            (
                name,
                *(
                    f"{1e3 * s:.1f} / {m / 1e6:.1f}"
                    for s, m in zip(seconds[name], memory[name], strict=True)
                ),
                f"{exponent(lengths, seconds[name]):.2f}",
                f"{exponent(lengths, memory[name]):.2f}",
            )
            for name in seconds
        ],
    )
    save(draw_figure(lengths, seconds, memory), picture)


@click.command()
@click.option("--lengths", default=",".join(map(str, LENGTHS)), show_default=True)
@options(steps=5, picture="cost_against_length.png")
def main(lengths, seed, steps, picture):
    """Time and memory of one layer against the length of the sequence."""
    lengths = [int(length) for length in lengths.split(",")]
    keras.utils.set_random_seed(seed)
    memory, seconds = peaks(lengths), times(lengths, steps)
    report(lengths, seconds, memory, picture)


if __name__ == "__main__":
    main()
