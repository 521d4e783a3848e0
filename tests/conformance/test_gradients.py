"""Gradients against central differences, by every weight and every input."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.arrays import as_float64, assert_close
from tests.conformance.masking import value_mask
from tests.gradients import gradients

# Keras computes in float32 on the other backends whatever the dtype of the layer.
if keras.backend.backend() == "tensorflow":
    DTYPE, STEP, CLOSE = "float64", 1e-5, {"rtol": 1e-6, "atol": 1e-8}
else:
    DTYPE, STEP, CLOSE = "float32", 3e-3, {"rtol": 1e-2, "atol": 1e-2}


@pytest.mark.parametrize("masks", [False, True])
def test_gradients_equal_central_differences(case, masks):
    layer, inputs = case.built_layer(dtype=DTYPE), case.inputs(dtype=DTYPE)
    kwargs = {"return_attention_scores": True}
    if masks:
        kwargs |= {case.mask_names[1]: value_mask(case)}
        kwargs |= {} if case.is_pooling else {"use_causal_mask": True}
    generator = np.random.default_rng(13)
    factors = [
        ops.convert_to_tensor(generator.standard_normal(o.shape), dtype=DTYPE)
        for o in layer(**inputs, **kwargs)
    ]

    def loss(outputs):
        return sum(
            ops.sum(output * factor) for output, factor in zip(outputs, factors, strict=True)
        )

    def difference_along(move):
        values = []
        for step in (STEP, -STEP):
            move(step)
            values.append(float(as_float64(loss(layer(**inputs, **kwargs)))))
            move(-step)
        return (values[0] - values[1]) / (2 * STEP)

    found = gradients(layer, inputs, loss, **kwargs)
    weights = {weight.path: weight for weight in layer.trainable_weights}
    assert case.is_hard or set(weights) <= set(found)
    for name in [*weights, *inputs]:
        target = weights.get(name, inputs.get(name))
        direction = generator.standard_normal(target.shape)
        direction /= np.linalg.norm(direction)

        def move(step, name=name, direction=direction):
            if name in weights:
                weights[name].assign(weights[name] + step * direction)
            else:
                inputs[name] = inputs[name] + step * direction

        wanted = difference_along(move)
        got = np.sum(found.get(name, 0.0) * direction)
        assert_close(got, wanted, **CLOSE, err_msg=name)
