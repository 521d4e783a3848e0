"""TensorFlow without its lines of log at the start."""

import contextlib
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator

# The libraries write before their own settings of logging hold, so their lines are taken out on the
# way to standard error, by a process of its own: what is said before a crash is not lost.
_FILTER = r"""
import re, sys
noise = re.compile(
    rb"[IW]\d{4} |\d{4}-\d\d-\d\d \S+ [IW] |WARNING: All log messages before absl|"
    rb"To enable the following instructions:|"
    rb"(E\d{4}|\d{4}-\d\d-\d\d).*(cuInit|cuda|cuDNN|cuBLAS|cuFFT|computation_placer)"
)
for line in sys.stdin.buffer:
    if not noise.match(line):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""
VARIABLE = "TF_CPP_MIN_LOG_LEVEL"


@contextlib.contextmanager
def quiet_log() -> Iterator[None]:
    """Takes TensorFlow's notes, and that there is no GPU, out of standard error; errors stay.

    Does nothing where the environment sets `TF_CPP_MIN_LOG_LEVEL`, as who wants the log does; else
    it is 2 from now on.
    """
    if VARIABLE in os.environ:
        yield
        return
    os.environ[VARIABLE] = "2"
    sys.stderr.flush()
    before = os.dup(2)
    command = [sys.executable, "-I", "-S", "-c", _FILTER]
    # In a session of its own, Ctrl-C does not reach it.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as noise:
        os.dup2(noise.stdin.fileno(), 2)  # type: ignore[union-attr]
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)


def import_tensorflow() -> None:
    """Imports TensorFlow, if it is there, and its devices, which is when it writes its log."""
    if "tensorflow" not in sys.modules:
        with quiet_log(), contextlib.suppress(ModuleNotFoundError):
            importlib.import_module("tensorflow").config.list_physical_devices()
