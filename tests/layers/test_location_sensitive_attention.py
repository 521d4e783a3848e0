import numpy as np
import pytest

import keras_attention as ka
from tests import oracles
from tests.arrays import as_float64, assert_close
from tests.layers.scored import CLOSE, MASKS, TQ, TV, UNITS, arrays, context_of, spread

FILTERS = 3


def built(scorer=None, **kwargs):
    scorer = scorer or ka.BahdanauAttention(UNITS)
    layer = ka.LocationSensitiveAttention(scorer, filters=FILTERS, **kwargs)
    layer(**arrays())
    return spread(layer)


def convolved(history, filters):
    """`filters (K, 1, F)` over `history (Tv,)`, zeros around it, the left half the shorter one."""
    size = len(filters)
    found = np.zeros((len(history), filters.shape[-1]))
    for j in range(len(history)):
        for k in range(size):
            s = j + k - (size - 1) // 2
            if 0 <= s < len(history):
                found[j] += history[s] * filters[k, 0]
    return found


def expected_weights(layer, score, visible, smooth=False, cumulative=False):
    given = {n: x.astype("float64") for n, x in arrays().items()}
    filters = as_float64(layer.convolution.kernel)
    v, b = as_float64(layer.history_dense.kernel), as_float64(layer.history_dense.bias)
    weights = np.zeros(visible.shape)
    for i in range(len(visible)):
        history = np.zeros(TV)
        for t in range(TQ):
            features = convolved(history, filters) @ v + b
            scores = np.array(
                [score(given["query"][i, t], given["key"][i, s], features[s]) for s in range(TV)]
            )
            if smooth:
                scores = -np.log1p(np.exp(-scores))  # the softmax of log sigmoid
            weights[i, t] = oracles.softmax(scores, visible[i, t])
            if visible[i, t].any():
                history = history * cumulative + weights[i, t]
    return weights


def additive(layer):
    scorer = layer.scorer
    w, u = as_float64(scorer.query_dense.kernel), as_float64(scorer.key_dense.kernel)
    v = as_float64(scorer.attention_v)
    return lambda q, k, f: v @ np.tanh(q @ w + k @ u + f)


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("cumulative", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 3, 4, 9])
def test_formula(masks, cumulative, kernel_size):
    layer = built(cumulative=cumulative, kernel_size=kernel_size)
    kwargs, visible = MASKS[masks]
    expected = expected_weights(layer, additive(layer), visible, cumulative=cumulative)
    found = layer(**arrays(), **kwargs, return_attention_scores=True)
    assert_close(found[1], expected, **CLOSE)
    assert_close(found[0], context_of(expected, arrays()["value"]), **CLOSE)


@pytest.mark.parametrize("masks", MASKS)
def test_smoothing(masks):
    layer = built(kernel_size=3, probability="normalized_sigmoid")
    kwargs, visible = MASKS[masks]
    expected = expected_weights(layer, additive(layer), visible, smooth=True)
    _, weights = layer(**arrays(), **kwargs, return_attention_scores=True)
    assert_close(weights, expected, **CLOSE)


def test_over_the_general_score():
    layer = built(ka.LuongAttention("general"), kernel_size=3)
    kernel = as_float64(layer.scorer.kernel)
    expected = expected_weights(layer, lambda q, k, f: q @ (k @ kernel + f), MASKS["of values"][1])
    _, weights = layer(**arrays(), **MASKS["of values"][0], return_attention_scores=True)
    assert_close(weights, expected, **CLOSE)


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"filters": 0}, "filters=0"),
        ({"kernel_size": 2.5}, "kernel_size=2.5"),
        ({"scorer": ka.LuongAttention("location", max_length=3)}, "a LuongAttention"),
    ],
)
def test_arguments_that_make_no_sense(kwargs, match):
    with pytest.raises(ValueError, match=f"Received: {match}"):
        ka.LocationSensitiveAttention(**{"scorer": ka.LuongAttention(), **kwargs})
