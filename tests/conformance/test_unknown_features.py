"""Built once, a layer takes inputs of which a graph knows no size, as Keras' `Dense` does."""

import dataclasses
from collections.abc import Callable

import pytest
import tensorflow as tf

from tests.arrays import assert_close
from tests.conformance.blocks import BLOCKS
from tests.conformance.cases import CASES
from tests.conformance.test_empty import SEQUENCES, SIZES
from tests.gradients import gradients

ROWS = [pytest.param(row, id=row.name) for row in (*CASES, *BLOCKS)]


@dataclasses.dataclass
class Traced:
    """A graph in the place of a layer."""

    graph: Callable
    trainable_weights: list

    def __call__(self, **inputs):
        return self.graph(**inputs)


@pytest.mark.parametrize("row", ROWS)
def test_a_graph_that_knows_no_size(row):
    layer, call = row.built_layer(), getattr(row, "call", {})
    inputs = row.inputs()
    specs = {name: tf.TensorSpec([None] * x.ndim, x.dtype) for name, x in inputs.items()}
    graph = tf.function(lambda **given: layer(**given, **call)).get_concrete_function(**specs)
    empty = SIZES if row in (*CASES, *SEQUENCES) else []
    for sizes in [(2, 3, 5), (3, 5, 7), *empty]:
        arrays = row.inputs(*sizes)
        found = graph(**{name: tf.constant(x) for name, x in arrays.items()})
        assert_close(found, layer(**arrays, **call), rtol=1e-5, atol=1e-5, err_msg=sizes)
    # A tape outside the graph: what the graph branches by is differentiated from its definition.
    expected = gradients(layer, inputs, **call)
    for name, found in gradients(Traced(graph, layer.trainable_weights), inputs).items():
        assert_close(found, expected.get(name, 0.0), rtol=1e-4, atol=1e-4, err_msg=name)


def test_another_feature_size_is_refused():
    row = CASES[0]
    layer, inputs = row.built_layer(), row.inputs()
    graph = tf.function(layer).get_concrete_function(
        **{name: tf.TensorSpec([None] * 3, x.dtype) for name, x in inputs.items()}
    )
    inputs["query"] = inputs["query"][..., :-1]
    with pytest.raises(tf.errors.InvalidArgumentError):
        graph(**{name: tf.constant(x) for name, x in inputs.items()})
