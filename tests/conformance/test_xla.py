"""Compiled by XLA, forwards and backwards, a layer answers as it does op by op."""

import keras

from tests.arrays import as_float64, assert_close
from tests.conformance.masking import value_mask
from tests.gradients import gradients

CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def compiled(layer, **kwargs):
    """A function of the inputs to the outputs and the gradients by weights and inputs."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(_tensorflow(layer, kwargs), jit_compile=True)
    import jax

    return jax.jit(_jax(layer, kwargs))


def _tensorflow(layer, kwargs):
    import tensorflow as tf

    def function(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(**inputs, return_attention_scores=True, **kwargs)
            loss = sum(tf.reduce_sum(tf.square(output)) for output in outputs)
        weights = [weight.value for weight in layer.trainable_weights]
        return outputs, *tape.gradient(loss, (weights, inputs))

    return function


def _jax(layer, kwargs):
    import jax
    from jax import numpy as jnp

    weights = [weight.value for weight in layer.trainable_variables]
    states = [weight.value for weight in layer.non_trainable_variables]

    def loss(weights, inputs):
        outputs, _ = layer.stateless_call(
            weights, states, **inputs, return_attention_scores=True, **kwargs
        )
        return sum(jnp.sum(jnp.square(output)) for output in outputs), outputs

    def function(inputs):
        found, outputs = jax.grad(loss, argnums=(0, 1), has_aux=True)(weights, inputs)
        return outputs, *found

    return function


def test_compiled_equals_eager(case):
    layer, inputs = case.built_layer(), case.inputs()
    kwargs = {case.mask_names[1]: value_mask(case)}
    if not case.is_pooling:
        kwargs["use_causal_mask"] = True
    outputs, by_weight, by_input = compiled(layer, **kwargs)(
        {name: keras.ops.convert_to_tensor(x) for name, x in inputs.items()}
    )
    expected = layer(**inputs, return_attention_scores=True, **kwargs)
    for found, wanted in zip(outputs, expected, strict=True):
        assert_close(found, wanted, **CLOSE)
    names = [weight.path for weight in layer.trainable_weights]
    found = dict(zip(names, by_weight, strict=True)) | by_input
    wanted = gradients(layer, inputs, return_attention_scores=True, **kwargs)
    for name in wanted:
        assert_close(as_float64(found[name]), wanted[name], **CLOSE, err_msg=name)
