import keras
import numpy as np
import pytest

from keras_attention import BahdanauAttention, TimeDistributedScorer
from tests import oracles
from tests.arrays import as_float64, assert_close

B, TQ, TV, DQ, DK, DV, UNITS = 2, 3, 5, 7, 11, 13, 17
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
MASK = np.array([[True, False, True, True, False], [False, True, True, True, True]])


def random_arrays(*shapes):
    generator = np.random.default_rng(0)
    return [generator.standard_normal(shape).astype("float32") for shape in shapes]


def two_layers():
    return keras.Sequential([keras.layers.Dense(UNITS, "tanh"), keras.layers.Dense(1)])


@pytest.mark.parametrize("mask", [None, MASK])
def test_formula(mask):
    query, value, key = random_arrays((B, TQ, DQ), (B, TV, DV), (B, TV, DK))
    layer = TimeDistributedScorer(two_layers())
    found = layer(query, value, key, value_mask=mask, return_attention_scores=True)
    w, b, v, c = (as_float64(x) for x in layer.scorer.weights)
    assert w.shape == (DQ + DK, UNITS)  # the query comes first
    pairs = None if mask is None else np.repeat(mask[:, None], TQ, axis=1)
    expected = oracles.attend(
        lambda q, k, s: (np.tanh(np.concatenate([q, k]) @ w + b) @ v + c)[0],
        query,
        key,
        value,
        pairs,
    )
    assert_close(found[0], expected[0], **CLOSE)
    assert_close(found[1], expected[1], **CLOSE)


@pytest.mark.parametrize("mask", [None, MASK])
def test_pooling_formula(mask):
    (x,) = random_arrays((B, TV, DQ))
    layer = TimeDistributedScorer(two_layers())
    pooled, weights = layer(x, mask=mask, return_attention_scores=True)
    w, b, v, c = (as_float64(x) for x in layer.scorer.weights)
    for row in range(B):
        scores = (np.tanh(x[row] @ w + b) @ v + c)[:, 0]
        expected = oracles.softmax(scores, None if mask is None else mask[row])
        assert_close(weights[row], expected, **CLOSE)
        assert_close(pooled[row], expected @ x[row], **CLOSE)


def test_literal_numbers():
    """A scorer that adds up its features; q = 1, keys 0 and 1: scores 1 and 2."""
    scorer = keras.layers.Dense(1, kernel_initializer="ones")
    keys = np.array([[[0.0], [1.0]]])
    context, weights = TimeDistributedScorer(scorer)(
        np.array([[[1.0]]]), keys, return_attention_scores=True
    )
    assert_close(weights, [[[0.268941, 0.731059]]], rtol=1e-5)
    assert_close(context, [[[0.731059]]], rtol=1e-5)


def test_two_dense_layers_are_the_additive_score():
    query, value = random_arrays((B, TQ, DQ), (B, TV, DV))
    additive, layer = BahdanauAttention(UNITS), TimeDistributedScorer(two_layers())
    additive(query, value), layer(query, value)
    w, u = (as_float64(d.kernel) for d in (additive.query_dense, additive.key_dense))
    v = as_float64(additive.attention_v)
    layer.scorer.set_weights([np.concatenate([w, u]), np.zeros(UNITS), v[:, None], np.zeros(1)])
    assert_close(layer(query, value), additive(query, value), **CLOSE)


def general(layer, query, value):
    """The scores of every pair, by the scorer itself."""
    pairs = [
        np.concatenate([np.broadcast_to(q, (TV, DQ)), value[b]], axis=-1)
        for b in range(B)
        for q in query[b]
    ]
    return as_float64(layer.scorer(np.concatenate(pairs))).reshape(B, TQ, TV)


def scorers():
    dense = keras.layers.Dense
    yield "one Dense", dense(1, bias_initializer="ones")
    yield "with an activation", dense(1, "tanh")
    yield "additive", keras.Sequential([dense(UNITS, "tanh"), dense(1, bias_initializer="ones")])
    yield "no bias", keras.Sequential([dense(UNITS, "tanh", use_bias=False), dense(1)])
    yield "relu", keras.Sequential([dense(UNITS, "relu"), dense(1)])
    yield "deep", keras.Sequential([dense(UNITS, "tanh"), dense(UNITS, "tanh"), dense(1)])
    yield "bounded", keras.Sequential([dense(UNITS, "tanh"), dense(1, "sigmoid")])


@pytest.mark.parametrize("scorer", [pytest.param(s, id=name) for name, s in scorers()])
def test_a_dense_that_comes_first_never_sees_the_concatenation(scorer, monkeypatch):
    query, value = random_arrays((B, TQ, DQ), (B, TV, DV))
    layer = TimeDistributedScorer(scorer)
    _, weights = layer(query, value, return_attention_scores=True)
    expected = general(layer, query, value)
    expected = np.exp(expected - expected.max(-1, keepdims=True))
    assert_close(weights, expected / expected.sum(-1, keepdims=True), **CLOSE)
    monkeypatch.setattr(
        "keras_attention.layers.attention.time_distributed_scorer.ops.concatenate", None
    )
    layer(query, value)


@pytest.mark.parametrize("names", [("query",), ("value",)])
@pytest.mark.parametrize("mask_name", ["mask", "query_mask", "value_mask"])
def test_pooling_takes_its_sequence_and_mask_by_either_name(names, mask_name):
    (x,) = random_arrays((B, TV, DQ))
    layer = TimeDistributedScorer(two_layers())
    expected = layer(x, mask=MASK)
    assert_close(layer(**{names[0]: x, mask_name: MASK}), expected, **CLOSE)


def test_pooling_combines_its_masks():
    (x,) = random_arrays((B, TV, DQ))
    layer = TimeDistributedScorer(two_layers())
    other = np.array([[True] * 4 + [False], [True] * 2 + [False] * 3])
    assert_close(layer(x, mask=MASK, value_mask=other), layer(x, mask=MASK & other), **CLOSE)


def test_a_scorer_may_be_a_functional_model():
    inputs = keras.Input((DQ + DV,))
    scorer = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Dense(UNITS)(inputs)))
    query, value = random_arrays((B, TQ, DQ), (B, TV, DV))
    layer = TimeDistributedScorer(scorer)
    copy = TimeDistributedScorer.from_config(layer.get_config())
    layer(query, value), copy(query, value)
    copy.set_weights(layer.get_weights())
    assert_close(copy(query, value), layer(query, value))


def test_a_custom_scorer_survives_the_configuration():
    layer = TimeDistributedScorer.from_config(TimeDistributedScorer(Sum()).get_config())
    assert isinstance(layer.scorer, Sum)


@keras.saving.register_keras_serializable(package="tests")
class Sum(keras.layers.Layer):
    def call(self, inputs):
        return keras.ops.sum(inputs, axis=-1, keepdims=True)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 1)


def test_dropout_inside_the_scorer_is_for_training():
    query, value = random_arrays((B, TQ, DQ), (B, TV, DV))
    scorer = keras.Sequential([keras.layers.Dropout(0.5, seed=3), keras.layers.Dense(1)])
    layer = TimeDistributedScorer(scorer)
    assert_close(layer(query, value), layer(query, value, training=False))
    moved = as_float64(layer(query, value, training=True)) - as_float64(layer(query, value))
    assert np.abs(moved).max() > 1e-2


@pytest.mark.parametrize("scorer", [None, 7, "dense", np.tanh])
def test_not_a_layer(scorer):
    with pytest.raises(ValueError, match="Received: scorer="):
        TimeDistributedScorer(scorer)


@pytest.mark.parametrize("pooling", [False, True])
def test_a_scorer_of_two_scores(pooling):
    layer = TimeDistributedScorer(keras.layers.Dense(2, name="two"))
    inputs = random_arrays((B, TQ, DQ), (B, TV, DV))[: 1 if pooling else 2]
    with pytest.raises(ValueError, match=r"Received: scorer=two with output shape \(None, 2\)"):
        layer(*inputs)


def test_pooling_has_no_queries_to_mask():
    query, value = random_arrays((B, TQ, DQ), (B, TV, DV))
    layer = TimeDistributedScorer(two_layers())
    pairs = np.ones((B, TV, TV), bool)
    for kwargs in ({"attention_mask": pairs}, {"use_causal_mask": True}, {"key_mask": MASK}):
        with pytest.raises(ValueError, match="Received: one sequence"):
            layer(value, **kwargs)
    with pytest.raises(ValueError, match=r"Received: mask of shape \(2, 3\)"):
        TimeDistributedScorer(two_layers())(query, value, mask=np.ones((B, TQ), bool))
    with pytest.raises(ValueError, match="Received: neither"):
        TimeDistributedScorer(two_layers())()


@pytest.mark.parametrize("layers", [1, 2], ids=["one", "two"])
@pytest.mark.parametrize("pools", [True, False], ids=["pooling", "cross"])
def test_scores_are_float32_in_half_precision(layers, pools):
    """Scores of -80,000 and less: -inf all, and NaN as weights, in float16."""
    dense = [keras.layers.Dense(1, kernel_initializer="ones", dtype="float16")]
    if layers == 2:
        eye = keras.initializers.Identity()
        features = 8 if pools else 16
        dense = [keras.layers.Dense(features, kernel_initializer=eye, dtype="float16"), *dense]
    layer = TimeDistributedScorer(keras.Sequential(dense), dtype="float16")
    steps = np.array([[[-20000.0] * 8, [-10000.0] * 8]], "float16")
    inputs = (steps,) if pools else (np.full((1, 1, 8), -20000.0, "float16"), steps)
    _, weights = layer(*inputs, return_attention_scores=True)
    assert_close(np.reshape(weights, (2,)), [0.0, 1.0])
