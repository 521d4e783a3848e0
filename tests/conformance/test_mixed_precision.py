"""Half-precision policies: compute in 16 bits, weights in 32, scores and softmax in 32."""

import keras
import numpy as np
import pytest

from tests.arrays import as_float64, assert_close
from tests.conformance.cases import SCORERS
from tests.conformance.masking import value_mask
from tests.gradients import gradients

POLICIES = {"mixed_float16": 2e-2, "mixed_bfloat16": 1e-1}


def like(layer, case, policy):
    """The same layer with the same weights under another policy."""
    other = case.built_layer(dtype=policy)
    other.set_weights(layer.get_weights())
    return other


@pytest.mark.parametrize("policy", POLICIES)
def test_close_to_float32(case, policy):
    layer = case.built_layer()
    inputs, kwargs = case.inputs(), {case.mask_names[1]: value_mask(case)}
    other = like(layer, case, policy)
    expected = layer(**inputs, return_attention_scores=True, **kwargs)
    found = other(**inputs, return_attention_scores=True, **kwargs)
    for one, wanted in zip(found, expected, strict=True):
        assert keras.backend.standardize_dtype(one.dtype) == policy.removeprefix("mixed_")
        tolerance = POLICIES[policy]
        assert_close(as_float64(one), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("policy", POLICIES)
def test_variables_are_float32_and_weights_sum_to_1(case, policy):
    layer = case.built_layer(dtype=policy)
    weights = {keras.backend.standardize_dtype(w.dtype) for w in layer.trainable_weights}
    assert weights <= {"float32"}
    _, weights = layer(**case.inputs(), return_attention_scores=True)
    if case.sums_to_one:
        assert_close(as_float64(weights).sum(-1), 1.0, atol=1e-2)


@pytest.mark.parametrize(("dtype", "with_weights"), [("mixed_float16", True), ("float16", False)])
def test_large_inputs_stay_finite(case, dtype, with_weights):
    """Dot products of such vectors pass 65504, the largest float16."""
    layer = case.built_layer(dtype=dtype)
    inputs = case.inputs(scale=60.0, dtype="float16")
    outputs = layer(**inputs, return_attention_scores=with_weights)
    for output in outputs if with_weights else [outputs]:
        assert np.isfinite(as_float64(output)).all()
    loss = _sum_of_outputs
    found = gradients(layer, inputs, loss, return_attention_scores=with_weights)
    assert all(np.isfinite(g).all() for g in found.values())


def _sum_of_outputs(outputs):
    output = outputs[0] if isinstance(outputs, tuple) else outputs
    return keras.ops.sum(keras.ops.cast(output, "float32")) / 1024


def test_global_policy_reaches_what_is_inside(case):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = case.layer()
    finally:
        keras.config.set_dtype_policy("float32")
    inside = layer._flatten_layers(include_self=True)
    assert {one.dtype_policy.name for one in inside} == {"mixed_bfloat16"}


def test_own_policy_reaches_what_is_made_inside(case):
    layer = case.built_layer(dtype="mixed_bfloat16")
    # Given by the user, with policies of their own.
    scorers = [getattr(layer, name) for name in SCORERS if hasattr(layer, name)]
    given = [one for scorer in scorers for one in scorer._flatten_layers(include_self=True)]
    inside = [one for one in layer._flatten_layers(include_self=True) if one not in given]
    assert {one.dtype_policy.name for one in inside} == {"mixed_bfloat16"}
