"""Regularizers, constraints and the initializer of biases, as Keras' own layers have them."""

import inspect
import json

import keras
import numpy as np
import pytest

from tests.conformance.cases import CASES

WEIGHT_OPTIONS = {
    *("kernel_regularizer", "kernel_constraint"),
    *("bias_initializer", "bias_regularizer", "bias_constraint"),
}
KERNEL, BIAS = 0.125, 0.375  # what the initializers fill the weights with


def takes(case, name):
    arguments = [inspect.signature(c.__init__).parameters for c in case.layer_class.__mro__]
    return any(name in parameters for parameters in arguments)


ROWS = [case for case in CASES if takes(case, "kernel_regularizer")]
WITH_BIAS = [case for case in ROWS if takes(case, "bias_regularizer")]
ids = {"ids": lambda case: case.name}


def built(case, **options):
    layer = case.layer(kernel_initializer=keras.initializers.Constant(KERNEL), **options)
    layer(**case.inputs())
    return layer


def filled_with(layer, number):
    weights = [w for w in layer.weights if np.all(keras.ops.convert_to_numpy(w) == number)]
    return [weight for weight in weights if weight.shape]


def loss_of(layer):
    return float(sum(keras.ops.convert_to_numpy(loss) for loss in layer.losses))


@pytest.mark.parametrize("case", ROWS, **ids)
def test_kernels_are_regularized_and_constrained(case):
    """Those that the initializer of kernels fills, and no other weight."""
    norm = keras.constraints.NonNeg()
    layer = built(case, kernel_regularizer=keras.regularizers.L2(0.5), kernel_constraint=norm)
    kernels = filled_with(layer, KERNEL)
    size = sum(int(np.prod(kernel.shape)) for kernel in kernels)
    np.testing.assert_allclose(loss_of(layer), 0.5 * KERNEL**2 * size, rtol=1e-5)
    constrained = [w.path for w in layer.weights if w.constraint is not None]
    assert constrained == [w.path for w in kernels]


@pytest.mark.parametrize("case", WITH_BIAS, **ids)
def test_biases_are_initialized_regularized_and_constrained(case):
    layer = built(
        case,
        bias_initializer=keras.initializers.Constant(BIAS),
        bias_regularizer=keras.regularizers.L1(0.5),
        bias_constraint=keras.constraints.NonNeg(),
    )
    biases = filled_with(layer, BIAS)
    assert bool(biases) == layer.use_bias
    size = sum(int(np.prod(bias.shape)) for bias in biases)
    np.testing.assert_allclose(loss_of(layer), 0.5 * BIAS * size, rtol=1e-5)
    constrained = [w.path for w in layer.weights if w.constraint is not None]
    assert constrained == [w.path for w in biases]


@pytest.mark.parametrize("case", ROWS, **ids)
def test_round_trip(case):
    given = {
        "kernel_regularizer": keras.regularizers.L1L2(0.25, 0.5),
        "kernel_constraint": keras.constraints.MaxNorm(3),
    }
    if case in WITH_BIAS:
        given |= {"bias_initializer": "he_normal", "bias_regularizer": "l2"}
        given |= {"bias_constraint": "non_neg"}
    layer = case.layer(**given)
    config = json.loads(json.dumps(layer.get_config()))
    copy = case.layer_class.from_config(config)
    assert copy.get_config() == layer.get_config()
    for name in given:
        assert type(getattr(copy, name)) is type(getattr(layer, name))
        assert not isinstance(getattr(copy, name), str | dict)
    assert copy.kernel_regularizer.l2 == 0.5 and copy.kernel_constraint.max_value == 3
