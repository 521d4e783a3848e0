"""A float64 layer is one all through: nothing inside rounds to float32."""

import keras

from tests.arrays import assert_close


def test_float64_is_float64(case):
    layer, inputs = case.built_layer(dtype="float64"), case.inputs(dtype="float64")
    outputs = layer(**inputs, return_attention_scores=True)
    tensors = (*outputs, *layer.trainable_weights)
    assert {keras.backend.standardize_dtype(x.dtype) for x in tensors} == {"float64"}
    # What float32 cannot tell apart: one input moved by 1e-9.
    inputs["query"][0] *= 1 + 1e-9
    moved = layer(**inputs, return_attention_scores=True)
    assert_close(moved[0], outputs[0], rtol=1e-6, atol=1e-7)
    difference = float(keras.ops.max(keras.ops.abs(moved[1] - outputs[1])))
    assert (0 < difference or case.is_hard) and difference < 1e-7
