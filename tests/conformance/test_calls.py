"""Calls as other layers of Keras take them, and other slips: one line says what is expected."""

import keras
import numpy as np
import pytest

import keras_attention as ka
from tests.conformance.cases import CASES, TV, B
from tests.conformance.test_errors import SYMBOLIC, maybe_symbolic

ONE_OF_EACH = list({case.layer_class: case for case in CASES}.values())
LAYERS = pytest.mark.parametrize("case", ONE_OF_EACH, ids=lambda case: case.name)


def refused(match, layer, *args, **kwargs):
    with pytest.raises((TypeError, ValueError), match=match) as caught:
        layer(*args, **kwargs)
    message = str(caught.value)
    assert "Received: " in message and "\n" not in message and "attend_all" not in message


@LAYERS
@SYMBOLIC
def test_a_list_and_unknown_names(case, symbolic):
    layer, inputs = case.layer(), maybe_symbolic(case.inputs(), symbolic)
    refused("Expected query to be one tensor.*Received: query=a list of", layer, [*inputs.values()])
    refused("among query.*Received: foo=1", layer, **inputs, foo=1)
    if case.is_cross:
        mask = np.ones((B, TV), bool)
        refused("mask.*Received: mask=", layer, **inputs, mask=mask)
        if case.layer_class is not ka.TimeDistributedScorer:
            refused("Expected query and value. Received: query=", layer, inputs["query"])


@LAYERS
@SYMBOLIC
@pytest.mark.parametrize("built", [False, True])
def test_masks_that_do_not_fit(case, symbolic, built):
    layer = case.built_layer() if built else case.layer()
    inputs = maybe_symbolic(case.inputs(), symbolic)
    name = case.mask_names[1]
    steps = next(reversed(case.inputs().values())).shape[1]
    for mask in (
        np.ones((B, steps + 1), bool),
        np.ones((B, steps, 1), bool),
        np.ones((steps,), bool),
    ):
        given = maybe_symbolic({name: mask}, symbolic and mask.ndim > 1)
        refused(f"Expected {name}.*Received: {name}.", layer, **inputs, **given)
    if not symbolic:
        wrong_batch = np.ones((B + 1, steps), bool)
        refused(f"Expected {name}.*Received: {name}.shape", layer, **inputs, **{name: wrong_batch})
    if not case.is_pooling:
        mask = np.ones((B, steps + 2, steps + 1), bool)
        refused("Received: attention_mask.shape", layer, **inputs, attention_mask=mask)


@LAYERS
def test_batches_of_different_size(case):
    if case.is_cross:
        inputs = case.inputs()
        inputs["value"] = inputs["value"][:1]
        refused("one batch size. Received: query.shape", case.built_layer(), **inputs)


def test_a_sequence_twice():
    x = np.ones((2, 3, 7), "float32")
    refused("Expected mask of.*Received: mask.shape", ka.MultiHeadSelfAttention(2, 5), x, x)


def test_a_feature_map_is_told_how_to_become_a_memory():
    image, query = np.ones((2, 5, 7, 11), "float32"), np.ones((2, 3, 13), "float32")
    flat = image.reshape(2, 35, 11)
    attention = ka.BahdanauAttention(5)
    refused(r"Reshape\(\(-1, channels\)\).*value.shape", attention, query, image)
    cell = ka.AttentionCell(keras.layers.GRUCell(7), ka.BahdanauAttention(5))
    decoder = ka.AttentionDecoder(cell, keras.layers.Dense(13))
    decoder(query, flat)
    refused(r"Reshape\(\(-1, channels\)\).*memory.shape", decoder, query, image)
    refused(r"Reshape\(\(-1, channels\)\).*memory.shape", decoder.prepare, image)


def test_other_layers():
    x = np.ones((2, 3, 6), "float32")
    for layer in (
        ka.SinusoidalPositions(),
        ka.TransformerEncoderBlock(2, 3, 5),
        ka.DilatedConv(5, 2),
        ka.GatedConvBlock(5),
    ):
        refused("one tensor.*Received", layer, [x, x])
        refused("among.*Received: foo=1", layer, x, foo=1)


def test_inputs_of_a_model():
    model = ka.RNNSeq2Seq(11, 13, 5)
    model.compile("sgd", loss=ka.SequenceCrossentropy())
    source, target = np.ones((2, 3), "int32"), np.ones((2, 5), "int32")
    for inputs in ([source, target], {"src": source, "tgt": target}, source):
        refused('"source".*"target".*Received', model, inputs)
        with pytest.raises(ValueError, match='"source".*"target".*Received'):
            model.fit(inputs, target, verbose=0)
