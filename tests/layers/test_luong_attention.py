import keras
import numpy as np
import pytest

from keras_attention import LuongAttention
from tests import oracles
from tests.arrays import as_float64, assert_close

B, TQ, TV, DQ, DK, DV, UNITS, MAX_LENGTH = 2, 3, 5, 7, 11, 13, 17, 19
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
SCORES = {
    "dot": {},
    "general": {},
    "concat": {"units": UNITS},
    "location": {"max_length": MAX_LENGTH},
}
MASKS = {
    "none": None,
    "some": np.array([[True, False, True, True, False], [False, True, True, True, True]]),
    "all of one sequence": np.array([[False] * TV, [True] * TV]),
}


def arrays_for(score):
    generator = np.random.default_rng(0)
    key_dim = DQ if score == "dot" else DK
    shapes = [(B, TQ, DQ), (B, TV, DV), (B, TV, key_dim)]
    return [generator.standard_normal(shape).astype("float32") for shape in shapes]


def oracle_of(layer, score):
    oracle = getattr(oracles, f"luong_{score}")
    names = {"dot": [], "concat": ["kernel", "attention_v"]}.get(score, ["kernel"])
    return oracle(*(as_float64(getattr(layer, name)) for name in names))


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("score", SCORES)
def test_formula(score, mask):
    query, value, key = arrays_for(score)
    layer = LuongAttention(score, **SCORES[score])
    found = layer(query, value, key, value_mask=mask, return_attention_scores=True)
    pairs = None if mask is None else np.repeat(mask[:, None], TQ, axis=1)
    expected = oracles.attend(oracle_of(layer, score), query, key, value, pairs)
    assert_close(found[0], expected[0], **CLOSE)
    assert_close(found[1], expected[1], **CLOSE)


@pytest.mark.parametrize("score", SCORES)
def test_scale_multiplies_the_scores(score):
    query, value, key = arrays_for(score)
    layer = LuongAttention(score, scale=True, **SCORES[score])
    layer(query, value, key)
    assert_close(layer.attention_g, 1.0)
    layer.attention_g.assign(0.25)
    found = layer(query, value, key)
    score_of_pair = oracle_of(layer, score)
    expected = oracles.attend(lambda q, k, s: 0.25 * score_of_pair(q, k, s), query, key, value)
    assert_close(found, expected[0], **CLOSE)


def test_literal_numbers():
    """q = (1, 2), keys (1, 0) and (0, 1): scores 1 and 2."""
    keys = np.array([[[1.0, 0.0], [0.0, 1.0]]])
    context, weights = LuongAttention("dot")(
        np.array([[[1.0, 2.0]]]), keys, return_attention_scores=True
    )
    assert_close(weights, [[[0.268941, 0.731059]]], rtol=1e-5)  # 1 / (1 + e), e / (1 + e)
    assert_close(context, [[[0.268941, 0.731059]]], rtol=1e-5)


@pytest.mark.parametrize("scale", [False, True])
def test_dot_equals_attention_of_keras(scale):
    query, value, key = arrays_for("dot")
    ours, theirs = LuongAttention("dot", scale=scale), keras.layers.Attention(use_scale=scale)
    mask = MASKS["some"]
    ours(query, value, key), theirs([query, value, key])
    if scale:
        ours.attention_g.assign(0.5)
        theirs.set_weights([np.float32(0.5)])
    found = ours(query, value, key, value_mask=mask, return_attention_scores=True)
    expected = theirs([query, value, key], mask=[None, mask], return_attention_scores=True)
    assert_close(found[0], expected[0], **CLOSE)
    assert_close(found[1], expected[1], **CLOSE)


def test_location_does_not_see_the_key():
    query, value, key = arrays_for("location")
    layer = LuongAttention("location", max_length=MAX_LENGTH)
    first = layer(query, value, key, return_attention_scores=True)[1]
    assert_close(layer(query, value, -key, return_attention_scores=True)[1], first)


def test_scores_of_half_precision_are_those_of_float32():
    """1000 and 1001 are one number in bfloat16 and their squares overflow float16."""
    query, keys = np.array([[[1000.0]]]), np.array([[[1000.0], [1000.5]]])
    for dtype in ("float16", "mixed_float16"):
        _, weights = LuongAttention("dot", dtype=dtype)(query, keys, return_attention_scores=True)
        assert_close(weights, [[[0.0, 1.0]]], atol=1e-6)


WEIGHTS = {
    "dot": set(),
    "general": {("kernel", (DK, DQ))},
    "concat": {("kernel", (DQ + DK, UNITS)), ("attention_v", (UNITS,))},
    "location": {("kernel", (DQ, MAX_LENGTH))},
}


@pytest.mark.parametrize("score", SCORES)
def test_weights_by_name(score):
    layer = LuongAttention(score, **SCORES[score])
    layer(*arrays_for(score))
    assert {(w.name, tuple(w.shape)) for w in layer.weights} == WEIGHTS[score]


def test_unknown_score():
    with pytest.raises(ValueError, match="one of .*'general'.*Received: score='additive'"):
        LuongAttention("additive")


@pytest.mark.parametrize("name, score", [("units", "concat"), ("max_length", "location")])
def test_sizes_that_are_missing_or_senseless(name, score):
    with pytest.raises(ValueError, match=f"Received: {name}=None"):
        LuongAttention(score)
    with pytest.raises(ValueError, match=f"Received: {name}=0"):
        LuongAttention(score, **{name: 0})
    with pytest.raises(ValueError, match=f"Received: score='general', {name}=7"):
        LuongAttention("general", **{name: 7})


@pytest.mark.parametrize("symbolic", [False, True])
def test_dot_needs_query_and_key_of_one_size(symbolic):
    query, value, _ = arrays_for("dot")
    if symbolic:
        query, value = (keras.Input(x.shape[1:]) for x in (query, value))
    with pytest.raises(
        ValueError, match=r"one size.*Received: query.shape=.*7\), key.shape=.*13\)"
    ):
        LuongAttention("dot")(query, value)


@pytest.mark.parametrize("symbolic", [False, True])
def test_memory_longer_than_max_length(symbolic):
    query, value = np.ones((B, TQ, DQ)), np.ones((B, MAX_LENGTH + 1, DV))
    layer = LuongAttention("location", max_length=MAX_LENGTH)
    layer(query, value[:, 1:])
    if symbolic:
        query, value = (keras.Input(x.shape[1:]) for x in (query, value))
    with pytest.raises(ValueError, match="at most max_length=19 steps. Received: value.shape="):
        layer(query, value)


def test_location_scores_are_float32_in_half_precision():
    """Scores of 80,000 and 90,000: infinite both, and NaN as weights, in float16."""
    layer = LuongAttention("location", max_length=2, dtype="float16")
    query, memory = np.full((1, 1, 10), 100.0, "float16"), np.ones((1, 2, 3), "float16")
    layer.build(query.shape, memory.shape)
    layer.set_weights([np.array([[80.0, 90.0]] * 10, "float16")])
    _, weights = layer(query, memory, return_attention_scores=True)
    assert_close(weights, [[[0.0, 1.0]]])
