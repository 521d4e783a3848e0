"""Several sequences for each memory: as many queries to it, as if it had been tiled."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.models.variants import TARGET_VOCABULARY, array, batch, ids

BEAMS = 5


def tiled(x):
    return ops.repeat(x, BEAMS, axis=0)


def test_beams_read_an_untiled_memory(model):
    memory = model.prepare(batch()["source"])
    state = model.initial_state(memory)
    rows = 3 * BEAMS
    token = ids((rows,), TARGET_VOCABULARY)
    generator = np.random.default_rng(43)

    def different(x):
        """What is a float differs between the sequences; a position is one for all."""
        wide = tiled(x)
        if not keras.backend.is_float_dtype(x.dtype):
            return wide
        return wide + ops.cast(generator.standard_normal(wide.shape), wide.dtype)

    state = keras.tree.map_structure(different, state)
    expected = model.step(token, state, keras.tree.map_structure(tiled, memory))
    found = model.step(token, state, memory)
    for x, y in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        assert tuple(x.shape) == tuple(y.shape)
        np.testing.assert_allclose(array(x), array(y), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="shapes are always known")
def test_beams_in_a_batch_of_unknown_size(model):
    import tensorflow as tf

    memory = model.prepare(batch()["source"])
    state = model.initial_state(memory)
    token = ids((3 * BEAMS,), TARGET_VOCABULARY)
    state = keras.tree.map_structure(tiled, state)

    def unknown(x):
        return tf.TensorSpec((None, *x.shape[1:]), x.dtype)

    step = tf.function(
        model.step,
        input_signature=tf.nest.map_structure(unknown, (tf.constant(token), state, memory)),
        autograph=False,
    )
    found, expected = step(token, state, memory), model.step(token, state, memory)
    for x, y in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(array(x), array(y), rtol=1e-5, atol=1e-5)
