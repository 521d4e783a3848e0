"""Masks over pairs of query and value: given, causal, and combined with padding."""

import numpy as np
import pytest
from keras import ops

from tests.arrays import assert_close
from tests.conformance.cases import (
    CASES,
    CROSS_CASES,
    HEADS,
    SEQUENCE_CASES,
    SOFTMAX_CASES,
    TQ,
    TV,
    B,
)
from tests.conformance.masking import (
    CLOSE,
    NAN,
    call,
    fill,
    renormalized,
    steps_of_values,
    value_mask,
    weights_under,
)
from tests.gradients import gradients

sequences = pytest.mark.parametrize("case", SEQUENCE_CASES, ids=lambda case: case.name)


def some_attention_mask(case, *leading):
    mask = np.random.default_rng(3).random((*leading, TQ, steps_of_values(case))) < 0.6
    mask[..., 0] = True
    return mask


@sequences
@pytest.mark.parametrize("leading", [(), (B,)])
def test_attention_mask(case, leading):
    layer, inputs, mask = case.built_layer(), case.inputs(), some_attention_mask(case, *leading)
    _, weights = call(layer, inputs, attention_mask=mask)
    assert_close(weights, weights_under(case, layer, inputs, mask), **CLOSE)


@pytest.mark.parametrize("case", [c for c in SOFTMAX_CASES if c.heads], ids=lambda c: c.name)
def test_attention_mask_of_each_head_with_a_padding_mask(case):
    layer, inputs = case.built_layer(), case.inputs()
    by_head, padding = some_attention_mask(case, B, HEADS), value_mask(case)
    _, weights = call(layer, inputs, attention_mask=by_head, value_mask=padding)
    _, without = call(layer, inputs)
    mask = by_head & padding[:, None, None]
    assert_close(weights, renormalized(without, mask), **CLOSE)


@pytest.mark.parametrize("case", [c for c in SEQUENCE_CASES if not c.heads], ids=lambda c: c.name)
def test_attention_mask_of_heads_without_heads(case):
    with pytest.raises(ValueError, match="Received: masks that combine to"):
        case.built_layer()(**case.inputs(), attention_mask=np.ones((B, B, TQ, TV), bool))


@sequences
@pytest.mark.parametrize("lengths", [(3, 5), (5, 3), (1, 5)])
def test_causal_mask_is_aligned_to_the_end(case, lengths):
    query_length, value_length = lengths if case.is_cross else (lengths[0], lengths[0])
    layer, inputs = case.built_layer(), case.inputs(B, query_length, value_length)
    output, weights = call(layer, inputs, use_causal_mask=True)
    seen = np.tri(query_length, value_length, value_length - query_length, dtype=bool)
    assert_close(weights, weights_under(case, layer, inputs, seen), **CLOSE)
    if not case.has_output_bias:
        assert (output[:, ~seen.any(1)] == 0).all()


@sequences
def test_all_kinds_of_masks_are_combined(case):
    layer, inputs = case.built_layer(), case.inputs()
    padding, pairs = value_mask(case), some_attention_mask(case, B)
    _, weights = call(layer, inputs, value_mask=padding, attention_mask=pairs, use_causal_mask=True)
    length = steps_of_values(case)
    mask = padding[:, None] & pairs & np.tri(TQ, length, length - TQ, dtype=bool)
    assert_close(weights, weights_under(case, layer, inputs, mask), **CLOSE)


@sequences
@pytest.mark.parametrize("content", [NAN, float("inf")])
def test_what_only_later_queries_see_reaches_no_earlier_one(case, content):
    layer, inputs = case.built_layer(), case.inputs()
    last = {"query": TQ - 1, "value": TV - 1, "key": TV - 1}
    spoilt = {name: x.copy() for name, x in inputs.items()}
    for name in spoilt:
        if name != "query" or not case.is_cross:
            spoilt[name][:, last[name]] = content
    expected = call(layer, inputs, use_causal_mask=True)
    found = call(layer, spoilt, use_causal_mask=True)
    assert_close(found[0][:, :-1], expected[0][:, :-1], **CLOSE)
    assert_close(found[1][..., :-1, :], expected[1][..., :-1, :], **CLOSE)
    assert not np.isfinite(found[0][:, -1]).any()


@pytest.mark.parametrize("case", [c for c in CASES if "key" in c.sizes], ids=lambda c: c.name)
@pytest.mark.parametrize("name", ["key", "value"])
def test_nan_is_not_hidden_from_those_who_see_it(case, name):
    """Not cleaned away: a NaN in the data must show, in the row that it belongs to."""
    layer, inputs = case.built_layer(), case.inputs()
    inputs[name][:, -1] = NAN
    output, weights = call(layer, inputs, use_causal_mask=True)
    assert np.isnan(output[:, -1]).all()
    assert np.isfinite(output[:, :-1]).all()
    assert np.isnan(weights[..., -1, :]).any(-1).all() == (name == "key")


@pytest.mark.parametrize("case", [c for c in CROSS_CASES if not c.is_hard], ids=lambda c: c.name)
def test_what_only_the_last_query_sees_reaches_no_gradient_by_earlier_ones(case):
    layer, inputs = case.built_layer(), case.inputs()
    spoilt = {name: x.copy() for name, x in inputs.items()}
    for name in spoilt.keys() - {"query"}:
        spoilt[name][:, -1] = NAN

    def earlier(output):
        return ops.sum(ops.square(output[:, :-1]))

    found = gradients(layer, spoilt, earlier, use_causal_mask=True)["query"]
    expected = gradients(layer, inputs, earlier, use_causal_mask=True)["query"]
    assert_close(found[:, :-1], expected[:, :-1], **CLOSE)


@sequences
def test_what_no_query_sees_reaches_no_gradient(case):
    """Hidden by the mask of pairs alone, with no padding mask to say so."""
    layer, inputs = case.built_layer(), case.inputs()
    padding = value_mask(case)
    padding[:] = padding[0]
    kwargs = {"attention_mask": np.broadcast_to(padding[:, None], (B, TQ, padding.shape[1]))}
    if not case.is_cross:
        kwargs["query_mask"] = padding  # as a query, a step sees itself
    found = gradients(layer, fill(case, inputs, padding, NAN), **kwargs)
    expected = gradients(layer, fill(case, inputs, padding, 0.0), **kwargs)
    for name in expected:
        assert_close(found[name], expected[name], **CLOSE, err_msg=name)
