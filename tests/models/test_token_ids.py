"""Ids that are no tokens: refused where they count, anything where they do not."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from keras_attention.decoding import Constraints
from tests.arrays import as_float64

V = 11
MODELS = {
    "rnn": lambda: ka.RNNSeq2Seq(V, V, 5, attention=ka.BahdanauAttention(3)),
    "transformer": lambda: ka.TransformerSeq2Seq(V, V, units=8, num_heads=2, num_layers=1),
    "transformer_lm": lambda: ka.TransformerLM(V, units=8, num_heads=2, num_layers=1),
    "conv": lambda: ka.ConvSeq2Seq(V, V, 5, num_layers=1),
    "byte_net": lambda: ka.ByteNetSeq2Seq(V, V, 6, dilations=(1,)),
    "wave_net": lambda: ka.WaveNet(V, 6, dilations=(1,)),
}
GOOD = np.array([[5, 9, 7], [8, 6, 0]])


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    model = MODELS[request.param]()
    model({"source": GOOD, "target": GOOD})
    return model


def with_id(number):
    ids = GOOD.copy()
    ids[0, 1] = number
    return ids


@pytest.mark.parametrize("bad", [-1, V])
def test_are_refused(model, bad):
    ids = with_id(bad)

    def refused(name="token"):
        return pytest.raises(ValueError, match=rf"from 0 and below {V}. Received: {name}={bad}")

    with refused():
        model({"source": ids, "target": GOOD})
    with refused():
        model({"source": GOOD, "target": ids})
    with refused():
        model.decode(ids, max_length=2)
    with refused():
        model.log_probability(GOOD, ids)
    with refused("prefix"):
        model.decode(GOOD, max_length=2, constraints=Constraints(prefix=ids))


def test_may_be_anything_where_they_do_not_count(model):
    mask, others = GOOD != 0, GOOD.copy()
    others[1, 2] = -7
    expected = model.decode(GOOD, mask, max_length=3)
    found = model.decode(others, mask, max_length=3)
    np.testing.assert_array_equal(as_float64(found.ids), as_float64(expected.ids))
    np.testing.assert_allclose(as_float64(found.score), as_float64(expected.score), rtol=1e-6)
    lengths = np.array([3, 2])
    one, other = (model.log_probability(GOOD, x, target_lengths=lengths) for x in (GOOD, others))
    np.testing.assert_allclose(as_float64(other), as_float64(one), rtol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="graphs of TensorFlow")
def test_are_an_error_of_the_run_in_a_graph():
    import tensorflow as tf

    model = MODELS["rnn"]()
    ids = tf.TensorSpec((None, None), tf.int32)
    decode = tf.function(lambda x: model.decode(x, max_length=2).ids, input_signature=[ids])
    assert decode(ops.cast(GOOD, "int32")).shape[0] == 2
    for bad in (-1, V):
        with pytest.raises(tf.errors.InvalidArgumentError, match="token="):
            decode(ops.cast(with_id(bad), "int32"))


def test_words_of_memory_networks():
    layer = ka.EndToEndMemory(V, 5)
    story = np.ones((2, 3, 5), "int32")
    layer(story, GOOD)
    with pytest.raises(ValueError, match=rf"below {V}. Received: question=-1"):
        layer(story, with_id(-1))
    with pytest.raises(ValueError, match=rf"below {V}. Received: story={V}"):
        layer(story * V, GOOD)
