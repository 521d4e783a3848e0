"""TensorFlow's log at the start: gone, but for errors and for those who ask for it."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("quiet", "keras_attention_command/quiet.py")
quiet = importlib.util.module_from_spec(spec)
spec.loader.exec_module(quiet)
with quiet.quiet_log():
    for line in (
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
        "I0000 00:00:17.9 8 cudart_stub.cc:31] Could not find cuda drivers on your machine",
        "E0000 00:00:17.9 8 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error",
        "2026-11-27 23:59:00.1: I tensorflow/core/util/port.cc:153] oneDNN custom operations",
        "E0000 00:00:17.9 8 other.cc:1] the disk is full",
        "F0000 00:00:17.9 8 other.cc:1] no such instruction",
    ):
        os.write(2, line.encode() + b"\\n")
    if sys.argv[1:]:
        os.abort()
print("an error afterwards", file=sys.stderr)
"""
ERRORS = "E0000 00:00:17.9 8 other.cc:1] the disk is full\nF0000 00:00:17.9 8 other.cc:1] no such"


def shown(*arguments, **changes):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-c", SCRIPT, *arguments]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment | changes)
    return done.stderr


@pytest.mark.parametrize("arguments", [(), ("crash",)])
def test_notes_are_taken_out_and_errors_stay(arguments):
    found = shown(*arguments)
    assert found.startswith(ERRORS)
    assert ("an error afterwards" in found) == (not arguments)
    assert len(found.splitlines()) == 3 - len(arguments)


def test_who_asks_for_the_log_gets_it():
    assert len(shown(TF_CPP_MIN_LOG_LEVEL="0").splitlines()) == 7


def test_the_command_shows_none_of_it():
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-m", "keras_attention_command", "evaluate", "--run", "none"]
    done = subprocess.run(
        [*command, "--test", "none"], capture_output=True, text=True, env=environment
    )
    assert (
        done.stderr == "keras-attention: none: Expected a training run. Received: no model.keras\n"
    )
