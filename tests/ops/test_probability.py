import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_attention.ops import PROBABILITIES, gumbel_hardmax, hardmax, masked_softmax
from tests import oracles
from tests.arrays import as_float64, assert_close, assert_equal
from tests.gradients import gradients


def tensor(x, dtype="float32"):
    return ops.convert_to_tensor(np.array(x), dtype=dtype)


def one_hot(scores, visible):
    row = np.where(visible, scores, -np.inf)
    return (np.arange(len(row)) == row.argmax()) & visible


def sigmoids(scores, visible):
    return 1 / (1 + np.exp(-np.asarray(scores, "float64"))) * visible


ORACLES = {
    "softmax": oracles.softmax,
    "sparsemax": lambda s, v: oracles.simplex(s, 2.0, v),
    "entmax15": lambda s, v: oracles.simplex(s, 1.5, v),
    "hardmax": one_hot,
    "gumbel": one_hot,
    "sigmoid": sigmoids,
    "normalized_sigmoid": lambda s, v: sigmoids(s, v) / max(sigmoids(s, v).sum(), 1e-300),
}
every = pytest.mark.parametrize("name", PROBABILITIES)
SUM_TO_ONE = [name for name in PROBABILITIES if name != "sigmoid"]


def test_every_function_has_an_oracle():
    assert set(ORACLES) == set(PROBABILITIES)


@every
@settings(max_examples=30, deadline=None)
@given(
    scores=st.lists(st.floats(-30, 30, width=32), min_size=7, max_size=7),
    mask=st.lists(st.booleans(), min_size=7, max_size=7),
)
def test_equals_the_oracle(name, scores, mask):
    scores, mask = np.array(scores, "float32"), np.array(mask)
    found = as_float64(PROBABILITIES[name](tensor([scores]), mask[None]))[0]
    assert_close(found, ORACLES[name](scores, mask), rtol=1e-4, atol=2e-6)
    assert (found[~mask] == 0).all()


def test_literal_numbers():
    scores = tensor([1.0, 0.5, -1.0])
    assert_close(PROBABILITIES["sparsemax"](scores), [0.75, 0.25, 0.0], atol=1e-6)
    assert_equal(PROBABILITIES["hardmax"](scores), [1, 0, 0])
    assert_close(PROBABILITIES["sigmoid"](scores), [0.731059, 0.622459, 0.268941], rtol=1e-5)
    # tau solves (0.5 - tau)^2 + (0.25 - tau)^2 = 1: (0.75 - sqrt(1.9375)) / 2 < -0.25 of the third
    # are all in: 3 tau^2 - 0.5 tau + 0.5625 = 1
    tau = (0.5 - np.sqrt(0.25 + 12 * 0.4375)) / 6
    expected = np.maximum(np.array([0.5, 0.25, -0.5]) - tau, 0) ** 2
    if tau > -0.5:  # then the third is out, and the first two alone give the threshold
        tau = (0.75 - np.sqrt(0.5625 - 2 * (0.3125 - 1))) / 2
        expected = np.maximum(np.array([0.5, 0.25, -0.5]) - tau, 0) ** 2
    assert_close(PROBABILITIES["entmax15"](scores), expected, atol=1e-6)


@every
@pytest.mark.parametrize("mask", [None, "all", "some"])
def test_rows_sum_to_one(name, mask):
    scores = np.random.default_rng(0).standard_normal((2, 3, 101)) * 5
    masks = {None: None, "all": np.ones((2, 1, 101), bool), "some": np.arange(101) % 3 == 0}
    found = as_float64(PROBABILITIES[name](tensor(scores), masks[mask])).sum(-1)
    if name in SUM_TO_ONE:
        assert_close(found, 1.0, rtol=2e-6)
    else:
        assert found.max() > 1


@every
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("score", [0.0, -6e4, float("nan"), float("inf")])
def test_nothing_visible(name, dtype, score):
    found = PROBABILITIES[name](tensor([[score] * 3], dtype), np.zeros((1, 3), bool))
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    assert_equal(found, [[0, 0, 0]])


@every
@pytest.mark.parametrize("hidden", [float("nan"), float("inf"), -float("inf"), 6e4])
def test_what_is_masked_is_gone(name, hidden):
    mask = np.array([True, False, True])
    found = PROBABILITIES[name](tensor([[1.0, hidden, 0.5]]), mask)
    assert_close(found[0], ORACLES[name](np.array([1.0, 0.0, 0.5]), mask), atol=1e-6)


@every
def test_nan_shows(name):
    found = as_float64(PROBABILITIES[name](tensor([[1.0, float("nan"), 0.5], [1.0, 0.0, 2.0]])))
    assert np.isnan(found[0]).any()
    assert np.isfinite(found[1]).all()


@every
@pytest.mark.parametrize("scale", [1e4, 1e8, 1e30])
def test_huge_scores(name, scale):
    found = as_float64(PROBABILITIES[name](tensor([[1.0, -1.0, 0.5]]) * scale))
    expected = [[1.0, 0.0, 1.0]] if name == "sigmoid" else [[1.0, 0.0, 0.0]]
    if name == "normalized_sigmoid":
        expected = [[0.5, 0.0, 0.5]]
    assert_close(found, expected, atol=1e-6)


@every
def test_one_position(name):
    found = PROBABILITIES[name](tensor([[0.0], [-3.0]]))
    assert_close(found, [[0.5], [0.047426]] if name == "sigmoid" else [[1.0], [1.0]], rtol=1e-4)


class Weigh(keras.layers.Layer):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, scores, visible=None):  # `mask` is Keras' own
        return self.function(scores, visible)


@every
def test_gradients_equal_differences_of_the_oracle(name):
    generator = np.random.default_rng(3)
    scores, factors = generator.standard_normal((2, 2, 7)) * 1.5
    mask = np.array([[True] * 7, [True, False, True, True, False, True, True]])
    layer = Weigh(PROBABILITIES[name])
    layer(scores.astype("float32"))

    def loss(weights):
        return ops.sum(weights * tensor(factors))

    found = gradients(layer, {"scores": scores.astype("float32")}, loss, visible=mask)
    found = found.get("scores", np.zeros((2, 7)))  # none at all where it is constant

    def value(scores):
        rows = [ORACLES[name](s, m) for s, m in zip(scores, mask, strict=True)]
        return np.sum(np.array(rows) * factors)

    for index in np.ndindex(2, 7):
        step = np.zeros((2, 7))
        step[index] = 1e-6
        wanted = (value(scores + step) - value(scores - step)) / 2e-6
        assert_close(found[index], wanted, rtol=1e-3, atol=1e-5)


def test_gumbel_draws_by_the_softmax_and_passes_its_gradient():
    scores = np.array([0.5, -1.0, 1.0, 0.0])
    generator = np.random.default_rng(0)
    noise = generator.gumbel(size=(20000, 4)).astype("float32")
    draws = as_float64(gumbel_hardmax(tensor(np.tile(scores, (20000, 1))), None, noise))
    assert_equal(draws.sum(-1), np.ones(20000))
    assert set(np.unique(draws.round(5))) == {0.0, 1.0}
    assert_close(draws.mean(0), oracles.softmax(scores), atol=0.02)
    noisy = Weigh(lambda s, mask: gumbel_hardmax(s, mask, noise[:2]))
    soft = Weigh(lambda s, mask: masked_softmax(s + tensor(noise[:2]), mask))
    inputs = {"scores": np.tile(scores, (2, 1)).astype("float32")}
    factors = tensor(generator.standard_normal((2, 4)))
    noisy(**inputs), soft(**inputs)

    def loss(weights):
        return ops.sum(weights * factors)

    found, wanted = (gradients(layer, inputs, loss)["scores"] for layer in (noisy, soft))
    assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_the_first_of_several_highest():
    assert_equal(hardmax(tensor([[2.0, 3.0, 3.0]])), [[0, 1, 0]])


def second_derivatives(function, scores):
    """Of all weights by all pairs of scores: `(N, N, N)`."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.hessian(function)(scores)
    if backend == "torch":
        import torch

        x = torch.from_numpy(scores)
        parts = [lambda x, i=i: function(x)[i] for i in range(len(scores))]
        return torch.stack([torch.autograd.functional.hessian(part, x) for part in parts])
    import tensorflow as tf

    x = tf.constant(scores)
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(x)
        with tf.GradientTape(persistent=True) as inner:
            inner.watch(x)
            weights = function(x)
        first = inner.jacobian(weights, x, experimental_use_pfor=False)
    zero = tf.UnconnectedGradients.ZERO
    return outer.jacobian(first, x, zero, experimental_use_pfor=False)


def second_differences(function, x, step=1e-3):
    x, moves = np.asarray(x, "float64"), np.eye(len(x)) * step
    found = np.zeros((len(x),) * 3)
    for i, a in enumerate(moves):
        for j, b in enumerate(moves):
            ends = function(x + a + b) - function(x + a - b) - function(x - a + b)
            found[:, i, j] = (ends + function(x - a - b)) / (4 * step * step)
    return found


@pytest.mark.parametrize("name", [n for n in PROBABILITIES if n not in ("hardmax", "gumbel")])
@pytest.mark.parametrize("scores", [[3.0, 0.0, -1.0], [3.0, 2.5, -1.0], [0.3, 0.2, -0.1, -5.0]])
def test_second_derivatives(name, scores):
    """Where a row is one-hot, a weight is constant: all derivatives are 0."""
    scores = np.array(scores, "float32")
    found = as_float64(second_derivatives(PROBABILITIES[name], scores))
    shown = np.ones(len(scores), bool)
    assert_close(found, second_differences(lambda x: ORACLES[name](x, shown), scores), atol=2e-4)
