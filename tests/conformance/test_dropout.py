"""Dropout of the weights: only in training, never in what is returned, the mean kept."""

import numpy as np
import pytest

from tests.arrays import as_float64, assert_equal
from tests.conformance.cases import CASES

RATE = 0.4
as_in_training = pytest.mark.parametrize(
    "case", [case for case in CASES if not case.trains_otherwise], ids=lambda case: case.name
)


def layer_with(case, **kwargs):
    return case.built_layer(dropout=RATE, **kwargs)


def outputs_of(layer, inputs, training, with_weights=True):
    outputs = layer(**inputs, training=training, return_attention_scores=with_weights)
    return [as_float64(o) for o in outputs] if with_weights else as_float64(outputs)


def test_inactive_at_inference(case):
    inputs = case.inputs()
    without, layer = case.built_layer(), layer_with(case, seed=5)
    layer.set_weights(without.get_weights())
    expected = outputs_of(without, inputs, training=not case.trains_otherwise)
    for training in (False, None):
        found = outputs_of(layer, inputs, training=training)
        assert_equal(found[0], expected[0])
        assert_equal(found[1], expected[1])


@as_in_training
def test_changes_the_output_but_not_the_weights_that_are_returned(case):
    layer, inputs = layer_with(case, seed=5), case.inputs()
    output, weights = outputs_of(layer, inputs, training=False)
    dropped_output, dropped_weights = outputs_of(layer, inputs, training=True)
    assert_equal(dropped_weights, weights)
    assert np.abs(dropped_output - output).max() > 1e-2


@as_in_training
def test_keeps_the_mean(case):
    """Outputs are linear in the weights: their mean over many draws is the one without dropout."""
    layer, one = layer_with(case, seed=5), case.inputs(batch=1)
    many = {name: np.repeat(x, 4000, axis=0) for name, x in one.items()}
    expected = outputs_of(layer, one, training=False, with_weights=False)[0]
    draws = outputs_of(layer, many, training=True, with_weights=False)
    error = draws.std(0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - expected) < 5 * error + 1e-6).all()
    # Every sequence of the batch has a draw of its own.
    different = len(np.unique(draws.reshape(len(draws), -1)[:, 0]))
    assert different > (7 if case.is_softmax else 1)  # of a single weight, there are but two


def test_a_seed_repeats_it_and_no_two_calls_are_alike(case):
    inputs = case.inputs(batch=11)
    first, second = ([_draw(layer, inputs) for _ in range(2)] for layer in _pair(case, 5, 5))
    assert_equal(first, second)
    assert (first[0] != first[1]).any()
    one, other = _pair(case, 5, 7)
    other.set_weights(one.get_weights())
    assert (_draw(one, inputs) != _draw(other, inputs)).any()


def _pair(case, *seeds):
    return [layer_with(case, seed=seed) for seed in seeds]


def _draw(layer, inputs):
    return outputs_of(layer, inputs, training=True, with_weights=False)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 1.5])
def test_rates_that_make_no_sense(case, dropout):
    with pytest.raises(ValueError, match=f"Received: dropout={dropout}"):
        case.layer(dropout=dropout)
