"""The template: what a variant needs to define, and what it gets for it."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from tests.arrays import assert_close, assert_equal
from tests.probes import MaskProbe


class Nearest(ka.AttentionBase):
    """The smallest variant there is: `score = -|q - k|^2`, and no weights."""

    def compute_scores(self, query, key):
        return -ops.sum(ops.square(query[:, :, None] - key[:, None]), axis=-1)


QUERY = np.array([[[0.0], [3.0]]])
VALUE = np.array([[[0.0], [1.0], [3.0]]])


def test_one_method_makes_a_layer():
    context, weights = Nearest()(QUERY, VALUE, return_attention_scores=True)
    # exp(0), exp(-1), exp(-9) and exp(-9), exp(-4), exp(0), each divided by their sum
    assert_close(
        weights,
        [[[0.7309917, 0.2689181, 0.0000902], [0.0001212, 0.0179840, 0.9818948]]],
        atol=1e-6,
    )
    assert_close(context, [[[0.2691888], [2.9636683]]], rtol=1e-5)


def test_without_a_score():
    with pytest.raises(NotImplementedError, match="AttentionBase must define `compute_scores`"):
        ka.AttentionBase()(QUERY, VALUE)


def test_key_is_the_value_by_default():
    assert_close(Nearest()(QUERY, VALUE), Nearest()(QUERY, VALUE, VALUE))
    other = np.array([[[3.0], [0.0], [1.0]]])
    assert_close(
        Nearest()(QUERY, VALUE, other, return_attention_scores=True)[1],
        Nearest()(QUERY, other, return_attention_scores=True)[1],
    )


def test_a_single_value_has_weight_1():
    context, weights = Nearest()(QUERY, VALUE[:, 1:2], return_attention_scores=True)
    assert_equal(weights, np.ones((1, 2, 1)))
    assert_equal(context, np.ones((1, 2, 1)))


def test_prepare_and_attend_step_by_step_equal_one_call():
    layer = ka.BahdanauAttention(7)
    generator = np.random.default_rng(0)
    query, memory = generator.standard_normal((2, 3, 5)), generator.standard_normal((2, 5, 11))
    memory_mask = np.array([[True, True, False, True, False], [True] * 5])
    expected = layer(query, memory, value_mask=memory_mask, return_attention_scores=True)
    memory[~memory_mask] = np.nan
    key, value, mask = layer.prepare(
        ops.convert_to_tensor(memory, "float32"), ops.convert_to_tensor(memory_mask)
    )
    for step in range(3):
        one = ops.convert_to_tensor(query[:, step : step + 1], "float32")
        context, weights = layer.attend(one, key, value, mask)
        assert_close(context[:, 0], expected[0][:, step], rtol=1e-5, atol=1e-6)
        assert_close(weights[:, 0], expected[1][:, step], rtol=1e-5, atol=1e-6)


def test_prepare_without_a_mask_shows_all():
    memory = ops.ones((2, 3, 5))
    assert_equal(Nearest().prepare(memory)[2], np.ones((2, 1, 3)))


def test_queries_of_length_one_and_a_cache_that_grows():
    """Step t with the values up to t, causally masked or not, is row t of the causal call."""
    layer = ka.MultiHeadSelfAttention(2, 3)
    x = ops.convert_to_tensor(np.random.default_rng(0).standard_normal((2, 5, 7)), "float32")
    expected = layer(x, use_causal_mask=True)
    for step in range(5):
        past = x[:, : step + 1]
        output, _ = layer.attend(
            x[:, step : step + 1], layer.project_key(past), layer.project_value(past)
        )
        assert_close(output[:, 0], expected[:, step], rtol=1e-4, atol=1e-5)


def test_call_assigns_nothing():
    """Two memories in flight: the second call knows nothing of the first."""
    layer = Nearest()
    layer(QUERY, VALUE)
    before = dict(vars(layer))
    layer(QUERY + 1, VALUE[:, :2], value_mask=np.array([[True, False]]))
    assert vars(layer).keys() == before.keys()
    assert all(vars(layer)[name] is before[name] for name in before if name != "_called")


def test_masks_go_on_to_the_next_attention():
    tokens = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(7, 5, mask_zero=True)(tokens)
    memory = ka.MultiHeadSelfAttention(2, 3)(x)
    output = ka.BahdanauAttention(5)(keras.layers.Dense(3)(x), memory)
    model = keras.Model(tokens, [output, MaskProbe()(memory), MaskProbe()(output)])
    ids = np.array([[3, 5, 2, 0, 0], [2, 3, 5, 1, 0]])
    output, *masks = model(ids)
    for mask in masks:
        assert_equal(mask, ids != 0)
    longer = np.pad(ids, ((0, 0), (0, 6)))
    assert_close(model(longer)[0][:, :5], output, rtol=1e-5, atol=1e-6)


def test_same_positional_order_as_keras():
    query, value = np.ones((2, 3, 5), "float32"), np.ones((2, 7, 5), "float32")
    key = np.random.default_rng(0).standard_normal((2, 7, 5)).astype("float32")
    masks = [np.ones((2, 3), bool), np.tile([True] * 4 + [False] * 3, (2, 1))]
    by_position = ka.MultiHeadCrossAttention(2, 3)
    by_name = by_position(query=query, value=value, key=key, value_mask=masks[1])
    assert_close(by_position(query, value, key, *masks), by_name, rtol=1e-6)
