"""Rows of a beam as queries to the memory that they share."""

import keras
import numpy as np
import pytest

from keras_attention.ops.queries_per_memory import queries_per_memory
from tests.arrays import assert_equal

MEMORY = np.zeros((3, 7), "float32")


def test_rows_that_share_a_memory_stand_beside_each_other():
    rows = np.arange(15 * 11).reshape(15, 11)
    assert_equal(queries_per_memory(rows, MEMORY), rows.reshape(3, 5, 11))
    steps = np.arange(15 * 2 * 11).reshape(15, 2, 11)
    assert_equal(queries_per_memory(steps, MEMORY), steps.reshape(3, 10, 11))
    assert queries_per_memory(rows[:0], MEMORY[:0]).shape == (0, 0, 11)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="shapes are always known")
@pytest.mark.parametrize(("width", "known"), [(None, None), (5, 5)])
def test_a_width_is_known_where_the_batch_is_not(width, known):
    import tensorflow as tf

    shapes = []

    @tf.function(input_signature=[tf.TensorSpec([None, 11]), tf.TensorSpec([None, 7])])
    def function(rows, memory):
        shapes.append(queries_per_memory(rows, memory, width).shape)

    function(np.zeros((15, 11), "float32"), MEMORY)
    assert shapes[0] == [None, known, 11]
