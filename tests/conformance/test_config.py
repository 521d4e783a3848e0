"""The configuration holds every argument of the constructor and makes the same layer again."""

import inspect
import json

import keras
import pytest

import keras_attention as ka
from tests.conformance.blocks import BLOCKS
from tests.conformance.cases import CASES, SCORERS
from tests.conformance.test_weight_options import WEIGHT_OPTIONS

CLASSES = sorted({case.layer_class for case in CASES}, key=lambda c: c.__name__)


def constructor_arguments(layer_class):
    """Names and defaults of what the class and its bases, up to Keras' own, take by name."""
    parameters = {}
    for base in layer_class.__mro__:
        if base.__module__.startswith("keras_attention."):
            parameters |= inspect.signature(base.__init__).parameters
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return {n: p.default for n, p in parameters.items() if n != "self" and p.kind not in variadic}


def test_every_public_layer_has_a_row():
    # A head has no query and no memory, a cell no sequence, a bias and a story other inputs, a
    # wrapper those of another layer; their own tests hold the same properties.
    others = {ka.AttentionBase, ka.StatefulAttention, ka.PointerGenerator, ka.NTMCell}
    others |= {ka.AlibiBias, ka.RelativeBias, ka.EndToEndMemory, ka.KeepMask}
    others |= {block.layer_class for block in BLOCKS}
    assert set(CLASSES) == {getattr(ka.layers, name) for name in ka.layers.__all__} - others


@pytest.mark.parametrize("layer_class", CLASSES)
def test_every_argument_has_a_row_where_it_is_not_the_default(layer_class):
    given = {"dropout", "seed", "probability"}  # given in the round trip below
    # With these, weights do not sum to 1, positions count from the end, padding or not, or sizes
    # have to be even: what other properties rule out. They have tests of their own in
    # tests/layers/test_multi_head*.py and test_positions.py.
    given |= {"sinks", "window", "position_bias", "rotary"}
    given |= WEIGHT_OPTIONS  # test_weight_options.py
    for case in CASES:
        if case.layer_class is layer_class:
            given |= set(case.arguments)
    assert set(constructor_arguments(layer_class)) <= given


def test_configuration_holds_every_constructor_argument(case):
    assert set(constructor_arguments(case.layer_class)) <= set(case.layer().get_config())


def test_every_constructor_argument_is_an_attribute(case):
    layer = case.layer()
    for name in constructor_arguments(case.layer_class):
        assert not inspect.ismethod(getattr(layer, name)), name


def test_round_trip(case):
    layer = case.layer(dropout=0.25, seed=7, name="given", dtype="mixed_bfloat16")
    config = layer.get_config()
    copy = case.layer_class.from_config(json.loads(json.dumps(config)))
    assert copy.get_config() == config
    assert (config["dropout"], config["seed"], config["name"]) == (0.25, 7, "given")
    assert copy.dtype_policy.name == "mixed_bfloat16"
    objects = SCORERS | {"kernel_initializer"}
    given = {n: v for n, v in case.arguments.items() if n not in objects}
    assert {n: config[n] for n in given} == given


@pytest.mark.parametrize(
    "case", [c for c in CASES if "kernel_initializer" in c.arguments], ids=lambda c: c.name
)
def test_kernel_initializer_survives(case):
    copy = case.layer_class.from_config(case.layer().get_config())
    assert isinstance(copy.kernel_initializer, keras.initializers.HeNormal)


def test_copies_have_weights_of_the_same_names_and_shapes(case):
    layer = case.built_layer()
    copy = case.layer_class.from_config(layer.get_config())
    copy(**case.inputs())
    assert [(w.name, w.shape) for w in copy.weights] == [(w.name, w.shape) for w in layer.weights]
