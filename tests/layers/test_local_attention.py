import numpy as np
import pytest

import keras_attention as ka
from tests import oracles
from tests.arrays import as_float64, assert_close
from tests.layers.scored import CLOSE, MASKS, TV, UNITS, arrays, context_of, scores_of, spread

SCORERS = {
    "dot": lambda: ka.LuongAttention("dot"),
    "general": lambda: ka.LuongAttention("general"),
    "concat": lambda: ka.LuongAttention("concat", units=UNITS),
    "location": lambda: ka.LuongAttention("location", max_length=11),
    "additive": lambda: ka.BahdanauAttention(UNITS),
}


def inputs_for(scorer):
    given = arrays()
    if scorer == "dot":
        given["key"] = given["key"][..., : given["query"].shape[-1]]
    return given


def built(scorer="additive", **kwargs):
    layer = ka.LocalAttention(SCORERS[scorer](), **kwargs)
    layer(**inputs_for(scorer))
    return spread(layer)


def expected_weights(layer, given, visible, positions, gaussian):
    """Luong et al., section 3.2: a softmax over the window, times the Gaussian of equation 10."""
    scores, window = scores_of(layer.scorer, given["query"], given["key"]), layer.window
    weights = np.zeros(scores.shape)
    for b, t in np.ndindex(*scores.shape[:2]):
        p = positions[b][t]
        near = np.array([abs(s - p) <= window for s in range(TV)])
        weights[b, t] = oracles.softmax(scores[b, t], near & visible[b, t])
        for s in range(TV):
            if gaussian:
                weights[b, t, s] *= np.exp(-((s - p) ** 2) / (2 * (window / 2) ** 2))
    return weights


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("gaussian", [None, True])
def test_monotonic_position(scorer, gaussian):
    layer, given = built(scorer, window=1, position="monotonic", gaussian=gaussian), None
    given = inputs_for(scorer)
    for kwargs, visible in MASKS.values():
        expected = expected_weights(layer, given, visible, [[0, 1, 2]] * 2, gaussian)
        found = layer(**given, **kwargs, return_attention_scores=True)
        assert_close(found[1], expected, **CLOSE)
        assert_close(found[0], context_of(expected, given["value"]), **CLOSE)


@pytest.mark.parametrize("scorer", SCORERS)
def test_predicted_position(scorer):
    layer, given = built(scorer, window=2), inputs_for(scorer)
    kernel, vector = as_float64(layer.position_dense.kernel), as_float64(layer.position_v)
    for kwargs, visible in MASKS.values():
        positions = np.zeros(visible.shape[:2])
        for b, t in np.ndindex(*positions.shape):
            seen = np.flatnonzero(visible[b, t])
            length = seen[-1] + 1 if len(seen) else 0
            hidden = np.tanh(given["query"][b, t].astype("float64") @ kernel)
            positions[b, t] = length / (1 + np.exp(-hidden @ vector))
        expected = expected_weights(layer, given, visible, positions, True)
        found = layer(**given, **kwargs, return_attention_scores=True)
        assert_close(found[1], expected, **CLOSE)
        assert_close(found[0], context_of(expected, given["value"]), **CLOSE)


def test_literal_numbers():
    """Equal scores, D = 2, p = 0: three steps of 1/3 each times exp(-s^2 / 2)."""
    layer = ka.LocalAttention(ka.LuongAttention(), window=2, position="monotonic", gaussian=True)
    _, weights = layer(np.zeros((1, 1, 3)), np.zeros((1, 5, 3)), return_attention_scores=True)
    assert_close(weights, [[[0.333333, 0.202177, 0.045112, 0, 0]]], atol=1e-6)


def test_a_position_past_the_end_reads_nothing():
    layer = ka.LocalAttention(ka.LuongAttention(), window=1, position="monotonic")
    ones = np.ones((1, 7, 3), "float32")
    output, weights = layer(ones, ones[:, :3], return_attention_scores=True)
    expected = [2, 3, 2, 1, 0, 0, 0]
    assert_close((as_float64(weights) > 0).sum(-1), [expected])
    assert_close(as_float64(output)[0, :, 0], np.minimum(expected, 1), rtol=1e-6)


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"window": 0}, "window=0"),
        ({"position": "middle"}, "position='middle'"),
        ({"position": "monotonic", "units": 3}, "units=3"),
        ({"gaussian": False}, "gaussian=False"),
        ({"units": 0}, "units=0"),
        ({"scorer": 3}, "scorer=3"),
    ],
)
def test_arguments_that_make_no_sense(kwargs, match):
    with pytest.raises(ValueError, match=f"Received: {match}"):
        ka.LocalAttention(**{"scorer": ka.LuongAttention(), **kwargs})
