"""Times functions that cannot live in one process, call by call in turns.

A worker is a script that ends with `serve({"name": function, ...})`; it may run in another
environment, so this file imports nothing but the standard library and NumPy. A function takes and
returns NumPy arrays by name, or does its work and returns nothing; only its run is timed.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def serve(functions, peak_memory=None):
    """Answers requests on stdin until it closes: one JSON line each, arrays in files.

    Args:
        functions: dict of functions of a dict of arrays that return a dict of arrays or None.
        peak_memory: function that runs a function and returns the bytes that were needed at most.
    """
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    for line in sys.stdin:
        request = json.loads(line)
        function = functions[request["function"]]
        if request["kind"] == "call":
            with np.load(request["inputs"]) as file:
                np.savez(request["outputs"], **(function(dict(file)) or {}))
            answer = {}
        elif request["kind"] == "memory":
            answer = {"bytes": peak_memory(lambda f=function: f({}))}
        else:
            start = time.perf_counter()
            function({})
            answer = {"seconds": time.perf_counter() - start}
        print(json.dumps(answer), file=answers, flush=True)


class Worker:
    """A script that serves functions, started with the Python of its environment."""

    def __init__(self, python, script, *arguments, **environment):
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [str(python), str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if "SHOW_WORKERS" not in os.environ else None,
            text=True,
            env={**os.environ, **environment},
        )
        self._script = script

    def call(self, function, **arrays):
        """The arrays that `function` returns for these."""
        inputs, outputs = (Path(self._folder.name) / f"{x}.npz" for x in ("inputs", "outputs"))
        np.savez(inputs, **arrays)
        self._ask(kind="call", function=function, inputs=str(inputs), outputs=str(outputs))
        with np.load(outputs) as file:
            return dict(file)

    def seconds(self, function):
        return self._ask(kind="time", function=function)["seconds"]

    def peak_bytes(self, function):
        return self._ask(kind="memory", function=function)["bytes"]

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()

    def _ask(self, **request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._script} ended; SHOW_WORKERS=1 prints what it said.")
        return json.loads(line)


def in_turns(contestants, seconds, tick=lambda: None):
    """Seconds of each call, by contestant, for about so many seconds in all.

    Args:
        contestants: dict from a name to `(worker, function)`.
        seconds: how long to go on.
        tick: called after each round.
    """
    times = {name: [] for name in contestants}
    for worker, function in contestants.values():  # what compiles at the first call or the second
        worker.seconds(function)
        worker.seconds(function)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, (worker, function) in contestants.items():
            times[name].append(worker.seconds(function))
        tick()
    return times


def median_ms(times):
    return 1000 * statistics.median(times)
