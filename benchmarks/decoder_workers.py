"""Parts that `decoder.py` and `seq2seq.py` share: sizes, processes, and the proof of parity."""

import contextlib
import json
import sys
from pathlib import Path

import numpy as np
from side_by_side import Worker, in_turns, median_ms

HERE = Path(__file__).parent
SIZES = {"batch": 64, "source": 50, "target": 30, "units": 256, "vocabulary": 1000, "beam": 5}


@contextlib.contextmanager
def started(tfa_python=None, **changes):
    """The workers by name: "ours" and, where there is a Python for it, "tfa".

    Both have the same weights and the same data, of `SIZES` but for the changes.
    """
    sizes = json.dumps({**SIZES, **changes})
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    with contextlib.ExitStack() as stack:
        ours = Worker(sys.executable, HERE / "decoder_ours.py", sizes, **quiet)
        stack.callback(ours.close)
        workers = {"ours": ours}
        if tfa_python:
            tfa = Worker(tfa_python, HERE / "decoder_tfa.py", sizes, **quiet)
            stack.callback(tfa.close)
            tfa.call("setup", **ours.call("weights"), **ours.call("data"))
            workers["tfa"] = tfa
        yield workers


def check_losses(contestants, steps=3):
    """Raises unless all train alike: the same losses over some steps from the same weights."""
    expected = None
    for name, (worker, function) in contestants.items():
        losses = worker.call(function, steps=steps)["losses"]
        expected = losses if expected is None else expected
        if not np.allclose(losses, expected, rtol=1e-5):
            raise RuntimeError(f"{name}: losses {losses}, others have {expected}")


def check_ids(contestants):
    """Raises unless all answer alike: the same tokens, and enough different ones to tell.

    Of a beam search all hypotheses count, in their order. No token ends one: those that tfa keeps
    in the beam after their end, in which it differs, do not arise.
    """
    expected = None
    for name, (worker, function) in contestants.items():
        ids = worker.call(function, ids=1)["ids"]
        expected = ids if expected is None else expected
        if not np.array_equal(ids, expected):
            raise RuntimeError(f"{name}: other tokens in {(ids != expected).mean():.1%} of places")
    if len(np.unique(expected)) < 4:  # the beams of one example soon repeat themselves
        raise RuntimeError("Hardly any token differs from another: that proves nothing.")


def floor_ms(worker, multiply_adds, calls=30):
    """Time of these multiply-adds at the best rate of one large product."""
    count = float(worker.call("product", count=1)["multiply_adds"])
    rate = count / min(worker.seconds("product") for _ in range(calls))
    return 1000 * multiply_adds / rate


def measured(contestants, seconds, tick):
    """By name: median milliseconds, the least, and peak MB (10^6 bytes)."""
    times = in_turns(contestants, seconds, tick)
    return {
        name: (
            median_ms(times[name]),
            1000 * min(times[name]),
            worker.peak_bytes(function) / 1e6,
        )
        for name, (worker, function) in contestants.items()
    }
