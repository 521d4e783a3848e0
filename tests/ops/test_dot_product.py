"""Every form of dot-product attention against the formula in NumPy, float64."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.ops import PROBABILITIES, dot_product_attention
from tests.arrays import as_float64, assert_close
from tests.oracles import dot_product

NAN = float("nan")
B, H, K, TQ, TV, D, DV = 2, 6, 3, 11, 17, 7, 5
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
MASKS = {
    "none": None,
    "padding": (B, 1, 1, TV),
    "pairs of all": (1, 1, TQ, TV),
    "pairs": (B, 1, TQ, TV),
    "heads": (B, H, TQ, TV),
}


def arrays(heads=K, query_length=TQ, value_length=TV):
    generator = np.random.default_rng(0)
    shapes = {
        "query": (B, H, query_length, D),
        "key": (B, heads, value_length, D),
        "value": (B, heads, value_length, DV),
    }
    return {n: generator.standard_normal(s).astype("float32") for n, s in shapes.items()}


def mask_of(kind, seed=1):
    if MASKS[kind] is None:
        return None
    mask = np.random.default_rng(seed).random(MASKS[kind]) < 0.6
    mask[0, ..., :3, :] = False  # queries, in the first case a sequence, that see nothing
    return mask


def tensors(inputs):
    return {name: ops.convert_to_tensor(x) for name, x in inputs.items()}


@pytest.mark.parametrize("heads", [K, H])
@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("with_weights", [False, True])
def test_formula(kind, heads, with_weights):
    """On TensorFlow the plain form; on the others without weights the fused one where it can."""
    inputs, mask = arrays(heads), mask_of(kind)
    if heads == H:  # all of one size: what the fused kernels take
        inputs["value"] = inputs["key"] + 1
    for causal, window in itertools.product([False, True], [None, 5]):
        expected = dot_product(**inputs, mask=mask, causal=causal, window=window)
        found = dot_product_attention(
            **tensors(inputs),
            mask=mask,
            causal=causal,
            window=window,
            return_weights=with_weights,
        )
        context, *weights = found if with_weights else [found]
        assert_close(context, expected[0], **CLOSE)
        for found in weights:
            assert_close(found, expected[1], **CLOSE)


@pytest.mark.parametrize("lengths", [(1, 5), (5, 5), (7, 3), (3, 7), (3, 1)])
def test_causal_is_aligned_to_the_end(lengths):
    inputs = arrays(K, *lengths)
    for window in (None, 2):
        expected = dot_product(**inputs, causal=True, window=window)[0]
        found = dot_product_attention(**tensors(inputs), causal=True, window=window)
        assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize("kind", ["none", "padding", "heads"])
@pytest.mark.parametrize("sinks", [False, True])
@pytest.mark.parametrize("soft_cap", [None, 0.5])
def test_bias_cap_and_sinks(kind, sinks, soft_cap):
    inputs, generator = arrays(), np.random.default_rng(2)
    given = {"mask": mask_of(kind), "soft_cap": soft_cap}
    if sinks:
        given["sinks"] = generator.standard_normal(H).astype("float32")
    for shape in [(1, H, TQ, TV), (B, 1, 1, TV), (B, H, TQ, 1)]:
        given["bias"] = generator.standard_normal(shape).astype("float32")
        expected = dot_product(**inputs, **given)
        context, weights = dot_product_attention(**tensors(inputs), **given, return_weights=True)
        assert_close(context, expected[0], **CLOSE)
        assert_close(weights, expected[1], **CLOSE)
        assert_close(dot_product_attention(**tensors(inputs), **given), expected[0], **CLOSE)


def test_a_sink_takes_its_share():
    """Two scores of 0 and a sink of log 2: weights 1/4, 1/4, and 1/2 for nothing."""
    zeros, sinks = np.zeros((1, 1, 2, 1), "float32"), np.log([2.0]).astype("float32")
    _, weights = dot_product_attention(zeros, zeros, zeros, sinks=sinks, return_weights=True)
    assert_close(weights, np.full((1, 1, 2, 2), 0.25), rtol=1e-6)


@pytest.mark.parametrize("name", ["key", "value"])
def test_a_nan_reaches_those_who_see_it_and_no_others(name):
    inputs = arrays()
    expected = dot_product(**inputs, causal=True)[0]
    inputs[name][:, 1, -3] = NAN
    for with_weights in (False, True):
        found = dot_product_attention(**tensors(inputs), causal=True, return_weights=with_weights)
        context = as_float64(found[0] if with_weights else found)
        spoilt = np.isnan(context).all(-1)
        wanted = np.zeros((B, H, TQ), bool)
        wanted[:, 2:4, -3:] = True  # the heads that share key 1
        np.testing.assert_array_equal(spoilt, wanted)
        assert_close(context[~wanted], expected[~wanted], **CLOSE)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(dtype):
    """Products beyond 65504, the largest float16."""
    inputs = {n: x * (1 if n == "value" else 60) for n, x in arrays().items()}
    halves = {n: ops.cast(x, dtype) for n, x in tensors(inputs).items()}
    expected = dot_product(**{n: as_float64(x) for n, x in halves.items()}, causal=True)[0]
    found = dot_product_attention(**halves, causal=True)
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    assert_close(as_float64(found), expected, rtol=0.02, atol=0.02)


def test_dropout_keeps_the_mean_and_repeats_by_seed():
    inputs = tensors({n: np.repeat(x[:1], 2000, axis=0) for n, x in arrays(1, 1, 5).items()})
    first, again, other = (
        as_float64(dot_product_attention(**inputs, dropout=0.4, seed=seed)) for seed in (3, 3, 5)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    expected = as_float64(dot_product_attention(**inputs))[0]
    error = first.std(0) / np.sqrt(len(first))
    assert (np.abs(first.mean(0) - expected) < 5 * error + 1e-6).all()


@pytest.mark.parametrize("probability", sorted(set(PROBABILITIES) - {"softmax"}))
@pytest.mark.parametrize("with_weights", [False, True])
def test_weights_of_another_probability(probability, with_weights):
    """Of the scores that the softmax would get, with what hides and what shifts them."""
    inputs, mask = arrays(), mask_of("pairs")
    generator = np.random.default_rng(5)
    bias, noise = generator.standard_normal((2, B, H, TQ, TV)).astype("float32")
    key, value = (np.repeat(inputs[name], H // K, axis=1) for name in ("key", "value"))
    scores = 2 * np.tanh(inputs["query"] @ np.swapaxes(key, -1, -2) / 2) + bias
    near = np.abs(np.arange(TV) - np.arange(TQ)[:, None] - (TV - TQ)) < 5
    noises = [noise] if probability == "gumbel" else []
    weights = as_float64(PROBABILITIES[probability](scores, mask & near, *noises))
    found = dot_product_attention(
        **tensors(inputs),
        mask=mask,
        bias=bias,
        window=5,
        soft_cap=2.0,
        probability=probability,
        noise=noise if noises else None,
        return_weights=with_weights,
    )
    context, *found_weights = found if with_weights else (found,)
    assert_close(context, weights @ value, **CLOSE)
    for found in found_weights:
        assert_close(found, weights, **CLOSE)


def test_wrong_calls():
    inputs = tensors(arrays())
    with pytest.raises(ValueError, match="query of rank 4.*Received: query.shape"):
        dot_product_attention(inputs["query"][0], inputs["key"], inputs["value"])
    with pytest.raises(ValueError, match="mask of rank 4.*Received: mask.shape"):
        dot_product_attention(**inputs, mask=np.ones((TQ, TV), bool))
    with pytest.raises(ValueError, match="a multiple of it. Received: query.shape"):
        dot_product_attention(inputs["query"][:, :5], inputs["key"], inputs["value"])
    with pytest.raises(ValueError, match="Received: window=0"):
        dot_product_attention(**inputs, window=0)
    with pytest.raises(ValueError, match="Received: soft_cap=-1.0"):
        dot_product_attention(**inputs, soft_cap=-1.0)
    with pytest.raises(ValueError, match="one of .*'softmax'.*Received: probability='cosine'"):
        dot_product_attention(**inputs, probability="cosine")
    with pytest.raises(ValueError, match="Expected sinks.*Received: probability='sigmoid'"):
        dot_product_attention(**inputs, probability="sigmoid", sinks=np.zeros(H, "float32"))
