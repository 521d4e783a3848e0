"""The reference in docs/ names everything public, and arguments that exist."""

import inspect
import re
from pathlib import Path

import keras
import pytest

import keras_attention as ka

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("layers", "transformer", "convolution", "forecasting", "memory")
TEXT = "".join((DOCS / f"{page}.md").read_text("utf-8") for page in PAGES)
CALLS = sorted(set(re.findall(r"`([A-Z]\w+)\(([^`()]*)\)`", TEXT)))
OF_OTHERS = {"Transformer"}  # of torch.nn
# What users subclass is in ARCHITECTURE.md, masks are in README.md.
ELSEWHERE = {"AttentionBase", "StatefulAttention", "KeepMask"}


def parameters_of(cls):
    """The names of the arguments of a class and its bases, those of Keras apart."""
    own = [c for c in cls.__mro__ if c.__module__.startswith("keras_attention")]
    return {name for c in own for name in inspect.signature(c.__init__).parameters}


@pytest.mark.parametrize(("name", "arguments"), CALLS)
def test_arguments_exist(name, arguments):
    """Those by name, as in `Name(a, b=...)`; `...` and values stand for any."""
    if name in OF_OTHERS or hasattr(keras.layers, name):
        return
    known = parameters_of(getattr(ka, name))
    if name == "MemoryNetwork":  # a model of the layer, and takes what that takes
        known |= parameters_of(ka.EndToEndMemory)
    named = {part.partition("=")[0].strip() for part in arguments.split(",")}
    assert {argument for argument in named if argument.isidentifier()} <= known


def test_there_are_calls():
    assert len(CALLS) > 20


@pytest.mark.parametrize("name", sorted(set(ka.__all__) - ELSEWHERE))
def test_everything_public_is_there(name):
    if isinstance(getattr(ka, name), type):
        assert re.search(rf"\b{name}\b", TEXT)
