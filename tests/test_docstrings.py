"""The examples in docstrings run as they stand, after an import of what the package offers."""

import inspect
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_attention
from keras_attention import decoding, layers, models, ops, text

PACKAGES = [keras_attention, decoding, layers, models, ops, text]


def public():
    """By qualified name, every public class and function, and the public methods of classes."""
    found = {}
    for package in PACKAGES:
        for name in getattr(package, "__all__", vars(package)):
            value = getattr(package, name)
            if name.startswith("_") or not (inspect.isclass(value) or inspect.isfunction(value)):
                continue
            found[name] = value
            members = vars(value).items() if inspect.isclass(value) else ()
            for member, method in members:
                if not member.startswith("_") and inspect.isfunction(method):
                    found[f"{name}.{member}"] = method
    return found


PUBLIC = public()
NAMES = {
    "keras": keras,
    "np": np,
    "ops": keras.ops,
    **{name: value for name, value in PUBLIC.items() if "." not in name},
}


EXAMPLES = [
    pytest.param(block, id=name)
    for name, value in sorted(PUBLIC.items())
    for block in re.findall(r"^```python\n(.*?)^```$", inspect.getdoc(value) or "", re.M | re.S)
]


def test_examples_are_found():
    shown = {example.id for example in EXAMPLES}
    templates = {"AttentionBase", "StatefulAttention"}
    assert shown >= set(layers.__all__) - templates | {"AttentionCell", "AttentionDecoder"}


@pytest.fixture
def eager():
    """Runs functions without graphs, which take longer to make than an example to run."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.filterwarnings("ignore:Even though the `tf.config:UserWarning")
@pytest.mark.parametrize("example", EXAMPLES)
def test_example_runs(example, tmp_path, monkeypatch, eager):
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "<example>", "exec"), dict(NAMES))
