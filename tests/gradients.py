"""Gradients of a layer's outputs, the same call on every backend."""

import keras
from keras import ops

from tests.arrays import as_float64


def gradients(layer, inputs, loss=None, **kwargs):
    """Gradients by the trainable weights and by the inputs of a built layer.

    Args:
        layer: a built layer.
        inputs: dict of arrays, the call arguments to differentiate by.
        loss: function of the layer's outputs to a scalar; the sum of their squares by default.
        **kwargs: further arguments of the call.

    Returns:
        One dict of NumPy arrays: gradients by path of weight and by name of input.
    """
    loss = loss or sum_of_squares
    inputs = {name: ops.convert_to_tensor(value) for name, value in inputs.items()}
    by_weight, by_input = _ENGINES[keras.backend.backend()](layer, inputs, loss, kwargs)
    paths = [weight.path for weight in layer.trainable_weights]
    named = dict(zip(paths, by_weight, strict=True)) | dict(by_input)
    # A score that does not depend on an input (the location score on the key) has no gradient.
    return {name: as_float64(g) for name, g in named.items() if g is not None}


def sum_of_squares(outputs):
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return sum(ops.sum(ops.square(ops.cast(output, "float32"))) for output in outputs)


def _tensorflow(layer, inputs, loss, kwargs):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = loss(layer(**inputs, **kwargs))
    variables = [weight.value for weight in layer.trainable_weights]
    return tape.gradient(value, (variables, inputs))


def _jax(layer, inputs, loss, kwargs):
    import jax

    states = [weight.value for weight in layer.non_trainable_variables]

    def function(weights, inputs):
        outputs, _ = layer.stateless_call(weights, states, **inputs, **kwargs)
        return loss(outputs)

    weights = [weight.value for weight in layer.trainable_variables]
    return jax.grad(function, argnums=(0, 1))(weights, inputs)


def _torch(layer, inputs, loss, kwargs):
    import torch

    inputs = {name: x.detach().clone().requires_grad_() for name, x in inputs.items()}
    variables = [weight.value for weight in layer.trainable_weights]
    value = loss(layer(**inputs, **kwargs))
    everything = [*variables, *inputs.values()]
    if not value.requires_grad:  # nothing of it depends on anything: all gradients are 0
        value = value + 0 * sum(x.sum() for x in everything)
    found = torch.autograd.grad(value, everything, allow_unused=True)
    found = [None if g is None else g.detach() for g in found]
    return found[: len(variables)], dict(zip(inputs, found[len(variables) :], strict=True))


_ENGINES = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
