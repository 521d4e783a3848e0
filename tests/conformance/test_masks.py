"""Padding masks that a caller gives: what is hidden takes no part, whatever it holds."""

import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from tests.arrays import assert_close
from tests.conformance.cases import CROSS_CASES, SEQUENCE_CASES, SOFTMAX_CASES, TQ, TV, B
from tests.conformance.masking import (
    CLOSE,
    NAN,
    call,
    fill,
    mask_by_name,
    over_weights,
    renormalized,
    value_mask,
)
from tests.gradients import gradients

STATEFUL_CASES = [case for case in CROSS_CASES if case.is_stateful]
STATELESS_CASES = [case for case in CROSS_CASES if not case.is_stateful]
cross = pytest.mark.parametrize("case", CROSS_CASES, ids=lambda case: case.name)


@pytest.mark.parametrize("case", SOFTMAX_CASES, ids=lambda case: case.name)
def test_weights_are_a_softmax_over_what_is_visible(case):
    layer, inputs, mask = case.built_layer(), case.inputs(), value_mask(case)
    _, weights = call(layer, inputs, **mask_by_name(case, mask))
    _, without = call(layer, inputs)
    assert_close(weights, renormalized(without, over_weights(case, mask)), **CLOSE)
    assert_close(without.sum(-1), 1.0, rtol=1e-5)
    hidden = np.broadcast_to(~over_weights(case, mask), weights.shape)
    assert (weights[hidden] == 0).all()


def test_padding_equals_a_shorter_sequence(case):
    layer, inputs, mask = case.built_layer(), case.inputs(), value_mask(case)
    output, weights = call(layer, fill(case, inputs, mask, 1e3), **mask_by_name(case, mask))
    for row, length in enumerate(mask.sum(1)):
        shorter = {
            name: x[row : row + 1]
            if name == "query" and case.is_cross
            else x[row : row + 1, :length]
            for name, x in inputs.items()
        }
        expected, expected_weights = call(layer, shorter)
        steps = slice(None) if case.is_cross or case.is_pooling else slice(length)
        assert_close(output[row][steps], expected[0], **CLOSE)
        found = weights[row][..., :length]
        found = found if case.is_pooling else found[..., steps, :]
        assert_close(found, expected_weights[0], **CLOSE)


@pytest.mark.parametrize("content", [NAN, float("inf"), -float("inf"), 1e30])
def test_what_padding_holds_reaches_nothing(case, content):
    layer, inputs, mask = case.built_layer(), case.inputs(), value_mask(case)
    masks = mask_by_name(case, mask)
    filled = fill(case, inputs, mask, content)
    expected = call(layer, fill(case, inputs, mask, 0.0), **masks)
    found = call(layer, filled, **masks)
    assert_close(found[0], expected[0], **CLOSE)
    visible = np.broadcast_to(over_weights(case, mask), found[1].shape)
    if not case.is_cross and not case.is_pooling:  # rows of padded queries: whatever they hold
        visible = visible & mask[:, None, :, None]
    assert_close(found[1][visible], expected[1][visible], **CLOSE)


@pytest.mark.parametrize("with_weights", [False, True])
def test_nan_in_padding_reaches_no_gradient(case, with_weights):
    layer, inputs, mask = case.built_layer(), case.inputs(), value_mask(case)
    kwargs = {**mask_by_name(case, mask), "return_attention_scores": with_weights}
    found = gradients(layer, fill(case, inputs, mask, NAN), **kwargs)
    expected = gradients(layer, fill(case, inputs, mask, 0.0), **kwargs)
    assert found.keys() == expected.keys()
    for name in expected:
        assert np.isfinite(found[name]).all(), name
        if not (with_weights and not case.is_cross):  # the loss holds weights of padded queries
            assert_close(found[name], expected[name], **CLOSE, err_msg=name)


@pytest.mark.parametrize("case", STATEFUL_CASES, ids=lambda case: case.name)
def test_masked_query_moves_no_state_whatever_it_holds(case):
    """The others answer as if it were not there."""
    layer, inputs = case.built_layer(), case.inputs()
    mask = np.ones((B, TQ), bool)
    mask[:, 1] = False
    without = {**inputs, "query": inputs["query"][:, [0, 2]]}
    if case.layer_class is ka.LocalAttention:  # counts every query as a position
        without = {**inputs, "query": np.where(mask[..., None], inputs["query"], 0.0)}
    rows = [0, 2] if case.layer_class is ka.LocalAttention else [0, 1]
    expected, expected_weights = call(layer, without)
    for content in (1e3, NAN):
        inputs["query"][~mask] = content
        output, weights = call(layer, inputs, query_mask=mask)
        assert_close(output[:, [0, 2]], expected[:, rows], **CLOSE)
        assert_close(weights[:, [0, 2]], expected_weights[:, rows], **CLOSE)
        assert (output[:, 1] == 0).all()
        assert (weights[:, 1] == 0).all()
        found = gradients(layer, inputs, query_mask=mask)
        assert all(np.isfinite(g).all() for g in found.values())
        assert "query" not in found or (found["query"][:, 1] == 0).all()


@pytest.mark.parametrize(
    "case", [c for c in CROSS_CASES if not c.is_stateful], ids=lambda c: c.name
)
def test_masked_query_gives_zero_whatever_it_holds(case):
    layer, inputs = case.built_layer(), case.inputs()
    mask = np.ones((B, TQ), bool)
    mask[0, 1] = mask[1, 2] = False
    expected, expected_weights = call(layer, inputs)
    output, weights = call(layer, inputs, query_mask=mask)
    assert_close(output, expected * mask[..., None], **CLOSE)
    assert_close(weights, expected_weights, **CLOSE)
    spoilt = inputs["query"].copy()
    spoilt[~mask] = NAN
    output, weights = call(layer, {**inputs, "query": spoilt}, query_mask=mask)
    assert_close(output, expected * mask[..., None], **CLOSE)
    assert np.isfinite(weights).all()
    found = gradients(layer, {**inputs, "query": spoilt}, query_mask=mask)
    wanted = gradients(layer, inputs, query_mask=mask)
    for name in wanted:
        assert_close(found[name], wanted[name], **CLOSE, err_msg=name)


@cross
def test_key_mask_hides_as_value_mask_does(case):
    layer, inputs = case.built_layer(), case.inputs()
    first, second = value_mask(case), np.ones((B, TV), bool)
    second[1, 0] = False
    both = call(layer, inputs, value_mask=first & second)
    for found in (
        call(layer, inputs, key_mask=first & second),
        call(layer, inputs, key_mask=first, value_mask=second),
    ):
        assert_close(found[0], both[0], **CLOSE)
        assert_close(found[1], both[1], **CLOSE)


@pytest.mark.parametrize("case", SEQUENCE_CASES, ids=lambda case: case.name)
def test_masks_may_be_numbers(case):
    """Masks travel as floats or integers through many pipelines: not 0 is True."""
    layer, inputs, mask = case.built_layer(), case.inputs(), value_mask(case)
    expected = call(layer, inputs, value_mask=mask)
    for dtype in ("int32", "float32"):
        found = call(layer, inputs, value_mask=ops.convert_to_tensor(mask.astype(dtype)))
        assert_close(found[0], expected[0], **CLOSE)


def test_no_mask_attached_where_none_was_given(case):
    output = case.built_layer()(**case.inputs())
    assert getattr(output, "_keras_mask", None) is None
    assert ops.shape(output) == case.output_shape()
