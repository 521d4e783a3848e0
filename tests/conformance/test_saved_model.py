"""A functional model exported as a SavedModel answers as it does in eager mode."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.arrays import assert_close
from tests.conformance.cases import CROSS_CASES

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def model_of(case):
    """A model of named inputs and outputs, with masks, of unknown batch and lengths."""
    sequences = case.symbolic_inputs()
    masks = {n: keras.Input((None,), name=n, dtype="bool") for n in set(case.mask_names)}
    outputs = case.built_layer()(**sequences, **masks, return_attention_scores=True)
    return keras.Model(sequences | masks, dict(zip(("output", "weights"), outputs, strict=True)))


def arrays_for(case, batch, query_length, value_length):
    arrays = case.inputs(batch, query_length, value_length)
    generator = np.random.default_rng(5)
    for name in set(case.mask_names):
        length = query_length if name != "value_mask" else value_length
        arrays[name] = generator.random((batch, length)) < 0.7
    return arrays


# Batch and lengths all different, and each of them 1: a graph that mixes them up fails here.
LENGTHS = [(2, 3, 5), (5, 3, 2), (1, 7, 3), (3, 1, 5), (3, 5, 1)]


def test_export(case, tmp_path):
    model = model_of(case)
    model.export(tmp_path, format="tf_saved_model", verbose=False)
    loaded = tf.saved_model.load(tmp_path)
    served = loaded.signatures["serving_default"]
    assert set(served.structured_input_signature[1]) == set(model.input)
    for lengths in LENGTHS:
        arrays = arrays_for(case, *lengths)
        expected = model(arrays)
        found = served(**{name: tf.constant(x) for name, x in arrays.items()})
        assert set(found) == {"output", "weights"}
        for name in expected:
            assert_close(found[name], expected[name], **CLOSE, err_msg=name)


# `prepare` is for a memory that is key and value at once.
@pytest.mark.parametrize(
    "case", [c for c in CROSS_CASES if "key" not in c.sizes], ids=lambda case: case.name
)
def test_steps_with_a_key_that_is_projected_once(case, tmp_path):
    """What a decoder's export holds: `prepare` once, `step` at each step, in one graph."""
    layer = case.built_layer()

    class Decoder(tf.Module):
        def __init__(self):
            super().__init__()
            self.weights = [weight.value for weight in layer.variables]

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, None, case.sizes["query"]]),
                tf.TensorSpec([None, None, case.sizes["value"]]),
                tf.TensorSpec([None, None], tf.bool),
            ]
        )
        def steps(self, query, memory, mask):
            prepared = layer.prepare(memory, mask)
            first = tf.zeros([tf.shape(query)[0], case.output_dim])
            outputs, _ = tf.scan(
                lambda last, step: layer.step(step, last[1], prepared)[:2],
                tf.transpose(query, [1, 0, 2]),
                initializer=(first, layer.initial_state(prepared)),
            )
            return outputs

    tf.saved_model.save(Decoder(), tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    arrays = arrays_for(case, 2, 3, 5)
    arrays["value"][~arrays["value_mask"]] = np.nan
    found = loaded.steps(arrays["query"], arrays["value"], arrays["value_mask"])
    expected = layer(arrays["query"], arrays["value"], value_mask=arrays["value_mask"])
    assert_close(tf.transpose(found, [1, 0, 2]), expected, **CLOSE)
