"""A mask that goes on behind layers that drop it, the same with every version of Keras."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_attention as ka
from tests.arrays import as_float64, assert_close, assert_equal
from tests.probes import MaskProbe, with_mask

TOKENS = np.array([[7, 2, 5, 0, 0], [3, 1, 4, 6, 2], [9, 0, 0, 0, 0]])
PADDING = TOKENS == 0
WORDS = np.array([[[1, 2, 0], [0, 0, 0]], [[3, 0, 0], [1, 2, 3]]])
NONE = np.full((3, 5), -1.0)


def vectors(tokens=TOKENS, size=7):
    table = np.random.default_rng(0).standard_normal((11, size)).astype("float32")
    return table[tokens]


def embedded(tokens=TOKENS):
    return with_mask(vectors(tokens), tokens != 0)


def masks_of(outputs):
    """What follows each output of rank 3 or more, and None for each of the others without one."""
    found = []
    for output in keras.tree.flatten(outputs):
        if len(output.shape) > 2:
            found.append(as_float64(MaskProbe()(output)).tolist())
        else:
            assert getattr(output, "_keras_mask", None) is None
            found.append(None)
    return found


def gru(units=5, **kwargs):
    return layers.GRU(units, **{"return_sequences": True, **kwargs})


KEPT, NOT_KEPT = (~PADDING).astype(float).tolist(), None
ROWS = {
    "gru": (gru, [KEPT]),
    "last_of_as_many_units_as_steps": (lambda: gru(return_sequences=False), [NOT_KEPT]),
    "gru_and_state": (lambda: gru(return_state=True), [KEPT, NOT_KEPT]),
    "state_alone": (lambda: gru(return_sequences=False, return_state=True), [NOT_KEPT] * 2),
    "lstm": (
        lambda: layers.LSTM(3, return_sequences=True, return_state=True),
        [KEPT, NOT_KEPT, NOT_KEPT],
    ),
    "cells": (
        lambda: layers.RNN([layers.GRUCell(3), layers.LSTMCell(2)], return_sequences=True),
        [KEPT],
    ),
    "bidirectional": (lambda: layers.Bidirectional(gru()), [KEPT]),
    "bidirectional_and_states": (
        lambda: layers.Bidirectional(gru(return_state=True)),
        [KEPT, NOT_KEPT, NOT_KEPT],
    ),
    "directions_apart": (lambda: layers.Bidirectional(gru(), merge_mode=None), [KEPT, KEPT]),
    "last_of_both": (
        lambda: layers.Bidirectional(gru(return_sequences=False), merge_mode=None),
        [NOT_KEPT, NOT_KEPT],
    ),
    "time_distributed": (lambda: layers.TimeDistributed(layers.Dense(3)), [KEPT]),
    "convolution": (lambda: layers.Conv1D(3, 3, padding="same"), [KEPT]),
    "causal_convolution": (lambda: layers.Conv1D(3, 3, padding="causal"), [KEPT]),
    "dense": (lambda: layers.Dense(5), [KEPT]),
    "for_one_length": (lambda: keras.Sequential([layers.Dense(3), layers.Dropout(0.5)]), [KEPT]),
    "pooled": (layers.GlobalAveragePooling1D, [NOT_KEPT]),
    "flat": (layers.Flatten, [NOT_KEPT]),
}


@pytest.mark.parametrize(("layer", "expected"), ROWS.values(), ids=ROWS)
def test_outputs_with_the_steps_of_the_input_keep_its_mask(layer, expected):
    layer = layer()
    outputs = ka.KeepMask(layer)(embedded())
    assert masks_of(outputs) == expected
    explicit = ka.KeepMask(layer)(vectors(), mask=~PADDING)
    assert masks_of(explicit) == expected
    for found, same in zip(*map(keras.tree.flatten, (outputs, explicit)), strict=True):
        assert_close(found, same)


def test_the_layer_uses_the_mask():
    layer = gru(return_sequences=False)
    outputs = ka.KeepMask(layer)(embedded())
    for row, tokens in zip(outputs, TOKENS, strict=True):
        assert_close(row, layer(vectors(tokens[None, tokens != 0]))[0], atol=1e-6)


def test_a_given_mask_goes_before_an_attached_one():
    given = np.arange(5) < np.array([[2], [4], [5]])
    assert masks_of(ka.KeepMask(gru())(embedded(), mask=given)) == [given.astype(float).tolist()]


def test_there_is_no_mask_where_there_was_none():
    assert masks_of(ka.KeepMask(gru())(vectors())) == [NONE.tolist()]
    # Nothing to keep, and nothing to refuse.
    assert ka.KeepMask(layers.Conv1D(3, 3, strides=2))(vectors()).shape == (3, 2, 3)


def test_masks_that_a_layer_makes_itself_stay():
    embedding = ka.KeepMask(layers.Embedding(11, 3, mask_zero=True))
    assert masks_of(embedding(TOKENS)) == [KEPT]
    assert masks_of(ka.KeepMask(layers.Masking())(vectors() * ~PADDING[..., None])) == [KEPT]


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (gru(3, return_sequences=False), [[1, 0], [1, 1]]),
        (gru(3), (WORDS != 0).astype(float).tolist()),
    ],
    ids=["of_sentences", "of_words"],
)
def test_texts_of_sentences(layer, expected):
    assert masks_of(ka.KeepMask(layers.TimeDistributed(layer))(embedded(WORDS))) == [expected]


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv1D(3, 3, strides=2, padding="same"),
        layers.Conv1D(3, 2),
        layers.MaxPooling1D(2),
        layers.ZeroPadding1D(1),
        layers.Permute((2, 1)),
    ],
    ids=lambda layer: layer.name,
)
def test_another_number_of_steps_is_refused(layer):
    with pytest.raises(ValueError, match=f"as many steps as its input.*'{layer.name}'"):
        ka.KeepMask(layer)(with_mask(np.ones((3, 5, 5), "float32"), ~PADDING))


def test_a_state_comes_along():
    layer = gru()
    state = ops.ones((3, 5))
    outputs = ka.KeepMask(layer)(embedded(), initial_state=state)
    assert masks_of(outputs) == [KEPT]
    assert_close(outputs, layer(vectors(), mask=~PADDING, initial_state=state))


def functional(steps, first):
    """Tokens or vectors through layers that drop masks to the weights of an attention."""
    if first == "embedding":
        inputs = keras.Input((steps,), dtype="int32")
        x = layers.Embedding(11, 7, mask_zero=True)(inputs)
    else:
        inputs = keras.Input((steps, 7))
        x = layers.Masking()(inputs)
    x = ka.KeepMask(layers.Bidirectional(gru()))(x)
    x, state = ka.KeepMask(gru(3, return_state=True))(x)
    x = ka.KeepMask(layers.Conv1D(5, 3, padding="same"))(x)
    x = ka.KeepMask(gru(3))(x, initial_state=state)
    if steps is not None:  # in a graph, Keras' layer wants to know how many
        x = ka.KeepMask(layers.TimeDistributed(layers.Dense(5)))(x)
    return keras.Model(inputs, ka.BahdanauAttention(3)(x, x, return_attention_scores=True)[1])


@pytest.mark.parametrize("steps", [None, 5])
@pytest.mark.parametrize("first", ["embedding", "masking"])
def test_attention_behind_several_layers_does_not_see_the_padding(first, steps, tmp_path):
    model = functional(steps, first)
    inputs = TOKENS if first == "embedding" else vectors() * ~PADDING[..., None]
    weights = as_float64(model(inputs))
    hidden = np.broadcast_to(PADDING[:, None], weights.shape)
    assert (weights[hidden] == 0).all() and (weights[~hidden] > 0).all()
    assert_close(model.predict(inputs, verbose=0), weights, atol=1e-6)
    model.save(tmp_path / "model.keras")
    assert_close(keras.saving.load_model(tmp_path / "model.keras")(inputs), weights, atol=1e-6)


def test_in_a_sequential_model():
    model = keras.Sequential(
        [
            layers.Masking(),
            ka.KeepMask(gru()),
            ka.KeepMask(layers.Bidirectional(gru())),
            MaskProbe(),
        ]
    )
    assert_equal(model(vectors() * ~PADDING[..., None]), ~PADDING)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.embedding = layers.Embedding(11, 7, mask_zero=True)
        self.below, self.above = ka.KeepMask(gru()), ka.KeepMask(gru(3))
        self.probe = MaskProbe()

    def call(self, tokens):
        return self.probe(self.above(self.below(self.embedding(tokens))))


def test_in_a_subclassed_model():
    model = Subclassed()
    assert_equal(model(TOKENS), ~PADDING)
    assert_equal(model.predict(TOKENS, verbose=0), ~PADDING)


def test_training_reaches_the_layer():
    layer = ka.KeepMask(layers.Dropout(0.5, seed=1))
    assert (as_float64(layer(embedded(), training=True)) == 0).any()
    assert_close(layer(embedded(), training=False), vectors())


def test_configuration_and_shapes():
    layer = ka.KeepMask(gru(return_state=True, dtype="mixed_float16"), name="kept")
    assert layer.compute_dtype == "float16"
    assert layer.compute_output_shape((2, None, 7)) == ((2, None, 5), (2, 5))
    copy = ka.KeepMask.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    outputs = layer(keras.Input((None, 7)))
    assert [x.shape for x in outputs] == [(None, None, 5), (None, 5)]
    assert [x.dtype for x in outputs] == ["float16"] * 2


def test_what_is_no_layer_is_refused():
    with pytest.raises(ValueError, match="layer"):
        ka.KeepMask(len)
