"""Losses where a batch is divided between devices."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="Keras divides no batch between devices on PyTorch"
)
def test_two_devices_train_as_one():
    """Each loss as `fit` reports it, the metrics, and the kernels after a step."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "KERAS_BACKEND": keras.backend.backend(),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    program = [sys.executable, str(ROOT / "tests" / "replicas.py")]
    done = subprocess.run(program, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = json.loads(done.stdout.splitlines()[-1])
    assert {"loss", "coverage_loss", "guided_kernel"} <= set(one)
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
