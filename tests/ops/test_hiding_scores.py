"""Scores and biases so low that they hide what they belong to: weights 0, and gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.ops import PROBABILITIES, chunkwise, dot_product_attention
from keras_attention.ops.dot_product import attention as dot_product
from tests.arrays import as_float64, assert_close, assert_equal
from tests.gradients import gradients

B, H, TQ, TV, D = 2, 3, 5, 7, 11
LOW = pytest.mark.parametrize("low", [-np.inf, np.finfo("float32").min])


class _Call(keras.layers.Layer):
    """A function as a layer, for `gradients`."""

    def __init__(self, function):
        super().__init__(autocast=False)
        self.function = function

    def build(self, **shapes):
        pass

    def call(self, **inputs):
        return self.function(**inputs)


def gradients_of(function, **inputs):
    layer = _Call(function)
    layer.built = True
    return gradients(layer, inputs)


@LOW
@pytest.mark.parametrize("name", PROBABILITIES)
def test_a_row_of_low_scores_is_a_row_of_nothing(name, low):
    scores = np.random.default_rng(3).standard_normal((TQ, TV)).astype("float32")
    expected = as_float64(PROBABILITIES[name](scores))
    scores[1] = low
    expected[1] = 0
    assert_close(PROBABILITIES[name](scores), expected, rtol=1e-6)
    mask = np.arange(TV) != 2  # and where the mask hides the rest
    weights = as_float64(PROBABILITIES[name](scores, mask))
    assert not weights[1].any() and not weights[:, 2].any() and weights[0].any()
    for options in ({}, {"mask": mask}):
        found = gradients_of(lambda x, o=options: PROBABILITIES[name](x, **o), x=scores)
        found = found.get("x", np.zeros_like(scores))
        assert np.isfinite(found).all() and not found[1].any()


@LOW
@pytest.mark.parametrize("name", PROBABILITIES)
def test_a_low_score_beside_others_is_masked(name, low):
    scores = np.random.default_rng(5).standard_normal((TQ, TV)).astype("float32")
    mask = np.arange(TV) != 3
    expected = PROBABILITIES[name](scores, mask)
    assert_close(PROBABILITIES[name](np.where(mask, scores, low)), expected, rtol=1e-6)


def test_chunks_of_low_scores():
    alignment = np.full((1, 1, 5), 0.2, "float32")
    scores = np.array([[[-np.inf, -np.inf, 1.0, 2.0, -np.inf]]], "float32")
    # The last two chunks are steps 2 and 3, then 3 alone.
    share = 1 / (1 + np.exp(-1))
    expected = [[[0, 0, 0.2 + 0.2 * (1 - share), 0.2 * share + 0.2, 0]]]
    assert_close(chunkwise(alignment, scores, None, 2), expected, rtol=1e-6)


def heads(seed=0):
    generator = np.random.default_rng(seed)
    sizes = {"query": (B, H, TQ, D), "key": (B, H, TV, D), "value": (B, H, TV, D)}
    return {n: generator.standard_normal(s).astype("float32") for n, s in sizes.items()}


def softmax(scores, sink=None):
    """In float64, of rows that may be all minus infinity."""
    top = np.maximum(scores.max(-1, keepdims=True), -100.0)
    weights = np.exp(scores - top)
    total = weights.sum(-1, keepdims=True) + (0 if sink is None else np.exp(sink - top))
    return weights / np.where(total > 0, total, 1)


@pytest.fixture(params=["plain", "blocked"])
def kernel(request, monkeypatch):
    if request.param == "blocked":
        if keras.backend.backend() != "tensorflow":
            pytest.skip("blocks are TensorFlow's")
        monkeypatch.setattr(dot_product, "_FEW_SCORES", 0)
    return request.param


@pytest.mark.parametrize("low", [-np.inf, np.finfo("float32").min, np.float16(-65504)])
@pytest.mark.parametrize(
    "options",
    [{}, {"causal": True}, {"soft_cap": 2.0}, {"sinks": np.ones(H, "float32")}, {"mask": True}],
    ids=lambda options: "_".join(options) or "nothing_else",
)
@pytest.mark.parametrize("shape", [(1, 1, TQ, TV), (B, H, TQ, TV)])
def test_a_low_bias_hides(kernel, low, options, shape):
    inputs, options = heads(), dict(options)
    dtype = np.asarray(low).dtype if low == -65504 else "float32"
    bias = np.random.default_rng(7).standard_normal(shape).astype(dtype)
    bias[0, :, -1] = low
    bias[..., -2] = low
    seen = np.ones((B, 1, TQ, TV), bool)
    if options.get("mask"):
        seen[:, :, :, 1] = False
        options["mask"] = seen
    if options.get("causal"):
        seen = seen & (np.arange(TV) <= np.arange(TQ)[:, None] + TV - TQ)
    scores = np.einsum("bhqd,bhkd->bhqk", inputs["query"], inputs["key"], dtype="float64")
    cap = options.get("soft_cap")
    scores = cap * np.tanh(scores / cap) if cap else scores
    scores = np.where(seen & (bias > low), scores + bias.astype("float64"), -np.inf)
    weights = softmax(scores, 1.0 if "sinks" in options else None)
    expected = np.einsum("bhqk,bhkd->bhqd", weights, inputs["value"])
    assert not expected[0, :, -1].any() and expected[1, :, 0].any()
    found = dot_product_attention(**inputs, bias=bias, **options)
    assert_close(found, expected, rtol=1e-4, atol=1e-5)
    context, found = dot_product_attention(**inputs, bias=bias, return_weights=True, **options)
    assert_close(context, expected, rtol=1e-4, atol=1e-5)
    assert_close(found, weights, rtol=1e-4, atol=1e-5)

    def function(**given):
        return dot_product_attention(**given, **options)

    for name, found in gradients_of(function, **inputs, bias=bias).items():
        assert np.isfinite(found).all(), name
        if name == "bias":
            assert not found[0, :, -1].any() and not found[..., -2].any()


def test_a_row_of_low_bias_in_a_layer_of_half_precision():
    import keras_attention as ka

    x = np.random.default_rng(11).standard_normal((B, TQ, D)).astype("float32")
    bias = np.zeros((1, 1, TQ, TQ), "float32")
    bias[:, :, 2] = np.finfo("float32").min
    layer = ka.MultiHeadSelfAttention(2, 3, dtype="mixed_float16", position_bias=ka.AlibiBias(2))
    output, weights = layer(x, bias=bias, return_attention_scores=True)
    assert not as_float64(weights)[:, :, 2].any()
    assert_equal(output[:, 2], np.zeros((B, D)))  # the bias of the projection at first
    assert_close(ops.sum(ops.cast(weights, "float32"), axis=-1)[:, :, 1], 1.0, atol=1e-2)
