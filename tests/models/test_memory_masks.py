"""The mask that Keras attached to a memory is used wherever one is taken and none is given."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from keras_attention.models import ConvDecoder, RNNDecoder, TransformerDecoder
from tests.arrays import as_float64, assert_close, assert_equal
from tests.probes import MaskProbe, with_mask

B, TT, TV, D = 2, 3, 5, 7
MASK = np.arange(TV) < np.array([[3], [5]])
OTHER = np.arange(TV) < np.array([[4], [2]])
TARGET = np.array([[2, 5, 7], [2, 8, 6]])


def memory():
    return np.random.default_rng(0).standard_normal((B, TV, D)).astype("float32")


def attention_cell():
    return ka.AttentionCell(keras.layers.GRUCell(11), ka.BahdanauAttention(3))


def cell():
    layer = attention_cell()
    layer.build((B, TT, 13), (B, TV, D))
    return layer.prepare


def cell_of_two():
    layer = ka.AttentionCell(
        keras.layers.GRUCell(11), [ka.BahdanauAttention(3), ka.LuongAttention("general")]
    )
    layer.build((B, TT, 13), [(B, TV, D)] * 2)
    # A mask for each, or none for each.
    return lambda memory, mask=None: layer.prepare(
        [memory, memory], None if mask is None else [mask, mask]
    )


def attention_decoder():
    embedding = keras.layers.Embedding(17, 13)
    layer = ka.AttentionDecoder(attention_cell(), keras.layers.Dense(17), embedding)
    layer.build((B, TT), (B, TV, D))
    return layer.prepare


def rnn_decoder(attention):
    layer = RNNDecoder(17, 11, 13, attention=attention)
    layer.build((B, TT), (B, TV, D), [[(B, 11)]])
    return layer.prepare


def transformer_decoder():
    layer = TransformerDecoder(17, 6, 2, 2)
    layer.build((B, TT), (B, TV, D))
    return layer.prepare


def transformer_block():
    layer = ka.TransformerDecoderBlock(2, 3, 11)
    layer.build((B, TT, 13), (B, TV, D))
    return layer.prepare


def conv_decoder():
    layer = ConvDecoder(17, 11, D, num_layers=1)
    layer.build((B, TT), (B, TV, D))
    return lambda memory, mask=None: layer.prepare(memory, memory, mask)


WAYS = {
    "cell": cell,
    "cell_of_two": cell_of_two,
    "attention_decoder": attention_decoder,
    "rnn_decoder": lambda: rnn_decoder(ka.BahdanauAttention(3)),
    "rnn_decoder_with_a_state": lambda: rnn_decoder(ka.CoverageAttention(ka.BahdanauAttention(3))),
    "rnn_decoder_without_attention": lambda: rnn_decoder(None),
    "transformer_decoder": transformer_decoder,
    "transformer_block": transformer_block,
    "conv_decoder": conv_decoder,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_attached_mask_is_used_where_none_is_given(way):
    prepare = way()

    def prepared(*args):
        return [as_float64(x) for x in keras.tree.flatten(prepare(*args))]

    def assert_same(found, expected):
        for x, y in zip(found, expected, strict=True):
            assert_equal(x, y)

    attached = prepared(with_mask(memory(), MASK))
    assert_same(attached, prepared(memory(), MASK))
    assert_same(prepared(with_mask(memory(), MASK), OTHER), prepared(memory(), OTHER))
    everything = prepared(memory())
    assert_same(everything, prepared(memory(), np.ones((B, TV), bool)))
    assert any((x != y).any() for x, y in zip(attached, everything, strict=True))


def test_a_search_sees_what_training_sees():
    decoder = ka.AttentionDecoder(
        attention_cell(), keras.layers.Dense(17), keras.layers.Embedding(17, 13)
    )
    masked = with_mask(memory(), MASK)
    logits, weights = decoder(TARGET, masked, return_attention_scores=True)
    assert_equal(as_float64(weights)[~np.broadcast_to(MASK[:, None], weights.shape)], 0)
    prepared = decoder.prepare(masked)
    state = decoder.initial_state(prepared)
    for t in range(TT):
        said, state, looked = decoder.step(ops.convert_to_tensor(TARGET[:, t]), state, prepared)
        assert_close(said, logits[:, t], atol=1e-6)
        assert_close(looked, weights[:, t], atol=1e-6)


def test_the_mask_of_vectors_goes_on_with_what_is_predicted():
    decoder = ka.AttentionDecoder(attention_cell(), keras.layers.Dense(17))
    kept = np.arange(TT) < np.array([[2], [3]])
    frames = np.ones((B, TT, 13), "float32")
    predicted = decoder(with_mask(frames, kept), memory())
    assert_equal(MaskProbe()(predicted), kept)
    assert_close(predicted, decoder(frames, memory()))


@pytest.mark.parametrize("cell_input", ["concat", "input"])
def test_an_embedding_that_masks_is_no_different(cell_input):
    cell = ka.AttentionCell(
        keras.layers.GRUCell(11), ka.BahdanauAttention(3), cell_input=cell_input
    )
    embedding = keras.layers.Embedding(17, 13, mask_zero=True)
    decoder = ka.AttentionDecoder(cell, keras.layers.Dense(17), embedding)
    logits = decoder(TARGET, memory())
    prepared = decoder.prepare(memory())
    state = decoder.initial_state(prepared)
    said, _, _ = decoder.step(ops.convert_to_tensor(TARGET[:, 0]), state, prepared)
    assert_close(said, logits[:, 0], atol=1e-6)
