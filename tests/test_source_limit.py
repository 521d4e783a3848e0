"""The longest source that an exported model reads."""

import numpy as np
import tensorflow as tf

import keras_attention as ka
from keras_attention.exporting.source_limit import cut, default_source_limit
from tests.tiny_run import TRAIN, trained


def test_a_run_keeps_a_limit_that_fits_its_sources():
    assert max(len(source) for source, _ in TRAIN) == 11
    assert trained().settings().max_source_length == 17


def test_without_training_data():
    sizes = {"units": 12, "num_heads": 2, "num_layers": 1, "feedforward_dim": 11}
    models = {
        13: ka.TransformerSeq2Seq(11, 7, positions="learned", max_positions=13, **sizes),
        1024: ka.TransformerSeq2Seq(11, 7, **sizes),
    }
    for limit, model in models.items():
        model({"source": np.ones((1, 2), "int32"), "target": np.ones((1, 2), "int32")})
        assert default_source_limit(model) == limit


def test_one_step_at_least():
    for batch in (0, 3):
        lengths = tf.zeros((batch,), tf.int32)
        ids, lengths, truncated = cut(tf.zeros((batch, 0), tf.int32), lengths, 5)
        assert ids.shape == (batch, 1)
        assert not truncated.numpy().any()
