import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from tests import oracles
from tests.arrays import as_float64, assert_close, assert_equal
from tests.gradients import gradients
from tests.layers.scored import (
    CLOSE,
    MASKS,
    TQ,
    UNITS,
    B,
    arrays,
    context_of,
    scores_of,
    spread,
)

SCORERS = {
    "additive": lambda: ka.BahdanauAttention(UNITS, normalize=True),
    "general": lambda: ka.LuongAttention("general"),
    "concat": lambda: ka.LuongAttention("concat", units=UNITS),
}


def built(scorer="additive", **kwargs):
    layer = ka.MonotonicAttention(SCORERS[scorer](), **kwargs)
    layer(**arrays())
    return spread(layer)


def oracle(layer, visible, hard):
    given = arrays()
    scores = scores_of(layer.scorer, given["query"], given["key"])
    scores = scores + as_float64(layer.attention_score_bias)
    return np.stack([oracles.monotonic(s, m, hard) for s, m in zip(scores, visible, strict=True)])


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("training", [False, True])
def test_formula(scorer, masks, training):
    layer, (given, visible) = built(scorer), MASKS[masks]
    found = layer(**arrays(), **given, training=training, return_attention_scores=True)
    expected = oracle(layer, visible, hard=not training)
    assert_close(found[1], expected, **CLOSE)
    assert_close(found[0], context_of(expected, arrays()["value"]), **CLOSE)


def test_literal_numbers():
    """Scores 0: p = 1/2 at both steps, twice."""
    layer = ka.MonotonicAttention(ka.LuongAttention("dot"), hard_inference=False)
    zeros = np.zeros((1, 2, 3), "float32")
    _, weights = layer(zeros, zeros, return_attention_scores=True)
    assert_close(weights, [[[0.5, 0.25], [0.25, 0.25]]], rtol=1e-6)


def test_hard_by_itself_at_inference():
    layer = built()
    _, weights = layer(**arrays(), return_attention_scores=True)
    assert set(np.unique(as_float64(weights))) <= {0.0, 1.0}
    _, trained = layer(**arrays(), training=True, return_attention_scores=True)
    assert len(np.unique(as_float64(trained))) > 5


def test_noise_in_training_alone():
    quiet, noisy = built(hard_inference=False), built(hard_inference=False, noise=2.0, seed=3)
    noisy.set_weights(quiet.get_weights())
    inputs = {**arrays(), "return_attention_scores": True}
    expected = as_float64(quiet(**inputs)[1])
    assert_close(noisy(**inputs)[1], expected, rtol=1e-6)
    assert_close(quiet(**inputs, training=True)[1], expected, rtol=1e-6)
    first, second = (as_float64(noisy(**inputs, training=True)[1]) for _ in range(2))
    assert np.abs(first - expected).max() > 0.01
    assert np.abs(first - second).max() > 0.01
    again = built(hard_inference=False, noise=2.0, seed=3)
    again.set_weights(quiet.get_weights())
    assert_equal(again(**inputs, training=True)[1], first)


def test_noise_has_its_deviation():
    key = ops.zeros((2, 1000, 3))
    noise = as_float64(built(noise=2.5, seed=1).sample_noise(7, key))
    assert noise.shape == (2, 7, 1000)
    assert abs(noise.std() - 2.5) < 0.1
    assert abs(noise.mean()) < 0.1
    assert built().sample_noise(7, key) is None


@pytest.mark.parametrize("masks", MASKS)
def test_gradients_equal_differences_of_the_oracle(masks):
    """By the scores, through the weights of all queries."""
    generator = np.random.default_rng(5)
    scores, factors = generator.standard_normal((2, B, TQ, 5))
    given, visible = MASKS[masks]
    # One-hot keys and the dot score: the queries are the scores.
    keys = np.tile(np.eye(5, dtype="float32"), (B, 1, 1))
    layer = ka.MonotonicAttention(ka.LuongAttention("dot"))
    inputs = {"query": scores.astype("float32"), "value": keys}
    layer(**inputs)

    def loss(outputs):
        return ops.sum(outputs[1] * ops.convert_to_tensor(factors, "float32"))

    kwargs = {**given, "training": True, "return_attention_scores": True}
    found = gradients(layer, inputs, loss, **kwargs)

    def value(scores):
        rows = [oracles.monotonic(s, m) for s, m in zip(scores, visible, strict=True)]
        return np.sum(np.stack(rows) * factors)

    bias = 0.0
    for index in np.ndindex(scores.shape):
        step = np.zeros(scores.shape)
        step[index] = 1e-6
        wanted = (value(scores + step) - value(scores - step)) / 2e-6
        assert_close(found["query"][index], wanted, rtol=2e-3, atol=1e-5)
        bias += wanted
    assert_close(found[layer.attention_score_bias.path], bias, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("dtype", ["mixed_float16", "float16", "bfloat16"])
def test_a_long_memory_keeps_its_mass_in_half_precision(dtype):
    layer = ka.MonotonicAttention(ka.LuongAttention("dot", dtype=dtype), dtype=dtype)
    generator = np.random.default_rng(0)
    query = generator.standard_normal((2, 3, 5)) * 0.5
    memory = generator.standard_normal((2, 1000, 5)) * 0.5
    inputs = {"query": query.astype("float16"), "value": memory.astype("float16")}
    kwargs = {"training": True, "return_attention_scores": True}
    _, weights = layer(**inputs, **kwargs)
    scores = np.einsum("btd,bsd->bts", *(x.astype("float64") for x in inputs.values()))
    exact = np.stack([oracles_fast(s) for s in scores])
    assert_close(as_float64(weights).sum(-1), exact.sum(-1), atol=0.02)
    assert_close(weights, exact, atol=0.01)
    found = gradients(layer, inputs, **kwargs)
    assert all(np.isfinite(g).all() for g in found.values())


def oracles_fast(scores):
    """`oracles.monotonic` in one pass over the memory: equation 9."""
    previous, rows = np.eye(1, scores.shape[1])[0], []
    for p in 1 / (1 + np.exp(-scores)):
        alpha, q = np.zeros(len(p)), 0.0
        for j in range(len(p)):
            q = (1 - p[j - 1]) * q * (j > 0) + previous[j]
            alpha[j] = p[j] * q
        rows.append(alpha)
        previous = alpha
    return np.array(rows)


def test_the_fast_oracle_is_the_slow_one():
    scores = np.random.default_rng(0).standard_normal((3, 7))
    assert_close(oracles_fast(scores), oracles.monotonic(scores), rtol=1e-12)


def test_never_goes_back():
    layer = built(score_bias=-0.5)
    query = np.random.default_rng(2).standard_normal((B, 13, 7)).astype("float32")
    given = {**arrays(), "query": query}
    _, weights = layer(**given, return_attention_scores=True)
    for rows in as_float64(weights):
        positions = [row.argmax() for row in rows if row.any()]
        assert positions == sorted(positions)
        stopped = rows.any(-1)
        assert (np.diff(stopped.astype(int)) <= 0).all()  # gone for good, once past the end


def test_weights_by_name():
    """Part of the file format, and what a converter of old checkpoints looks for."""
    layer = ka.MonotonicAttention(ka.LuongAttention("general", name="scorer"), name="attention")
    layer(**arrays())
    paths = {weight.path for weight in layer.weights}
    assert paths == {"attention/attention_score_bias", "attention/scorer/kernel"}


def test_the_bias_starts_as_told():
    layer = ka.MonotonicAttention(ka.LuongAttention("general"), score_bias=-4.0)
    layer(**arrays())
    assert_equal(layer.attention_score_bias, -4.0)


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"noise": -1.0}, "Received: noise=-1.0"),
        ({"probability": "sparsemax"}, "Received: probability='sparsemax'"),
        ({"scorer": None}, "Received: scorer=None"),
        ({"scorer": ka.MultiHeadCrossAttention(2, 3)}, "Received: scorer="),
        ({"scorer": ka.MonotonicAttention(ka.LuongAttention())}, "Received: scorer="),
        ({"scorer": ka.LuongAttention(dropout=0.5)}, "Received: scorer.dropout=0.5"),
        ({"scorer": ka.LuongAttention(probability="hardmax")}, "scorer.probability='hardmax'"),
    ],
)
def test_arguments_that_make_no_sense(kwargs, match):
    with pytest.raises(ValueError, match=match):
        ka.MonotonicAttention(**{"scorer": ka.LuongAttention(), **kwargs})
