"""No step of the additive score, forwards or backwards, holds a value for each pair and unit."""

import gc

import keras
import numpy as np
import pytest

from keras_attention import BahdanauAttention, LuongAttention, TimeDistributedScorer
from keras_attention.ops.additive import scores as additive

B, TQ, TV, UNITS, SIZE = 2, 53, 59, 67, 7
PAIRS = B * TQ * TV
# Slabs and outputs are several times the pairs; the cube would be UNITS times.
LARGEST = PAIRS * UNITS // 8

dense = keras.layers.Dense
LAYERS = {
    "bahdanau": lambda: BahdanauAttention(UNITS),
    "bahdanau_normalized": lambda: BahdanauAttention(UNITS, normalize=True),
    "luong_concat": lambda: LuongAttention("concat", units=UNITS),
    "scorer": lambda: TimeDistributedScorer(keras.Sequential([dense(UNITS, "tanh"), dense(1)])),
}


@pytest.fixture(params=LAYERS)
def layer(request):
    return LAYERS[request.param]()


def arrays():
    generator = np.random.default_rng(0)
    shapes = (B, TQ, SIZE), (B, TV, SIZE)
    return [generator.standard_normal(shape).astype("float32") for shape in shapes]


def step(layer):
    """Forwards and backwards, as TensorFlow records it."""
    import tensorflow as tf

    def function(query, value):
        with tf.GradientTape() as tape:
            tape.watch([query, value])
            context = layer(query, value)
        weights = [weight.value for weight in layer.trainable_weights]
        return tape.gradient(context, [query, value, *weights])

    return function


def graphs_of(graph):
    yield graph
    for function in graph._functions.values():
        if hasattr(function, "graph"):
            yield from graphs_of(function.graph)


only_on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="reads TensorFlow's graphs"
)


@only_on_tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_no_tensor_of_all_pairs_and_units(layer, jit_compile):
    import tensorflow as tf

    inputs = [tf.constant(x) for x in arrays()]
    layer(*inputs)
    function = tf.function(step(layer), jit_compile=jit_compile)
    graph = function.get_concrete_function(*inputs).graph
    sizes = {
        output.shape.num_elements()
        for one in graphs_of(graph)
        for operation in one.get_operations()
        for output in operation.outputs
        if output.shape.is_fully_defined()
    }
    assert PAIRS in sizes, "the scores themselves must be among what is seen"
    assert max(sizes) <= LARGEST


@only_on_tensorflow
def test_the_plain_formula_would_be_seen(monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(additive, "SMALL", PAIRS * UNITS)
    layer, inputs = LAYERS["bahdanau"](), [tf.constant(x) for x in arrays()]
    layer(*inputs)
    graph = tf.function(step(layer)).get_concrete_function(*inputs).graph
    sizes = [o.shape.num_elements() for op in graph.get_operations() for o in op.outputs]
    assert PAIRS * UNITS in sizes


def peak_of(layer, inputs, jit_compile=False):
    """Bytes that a step takes beyond what is there before; the highest of three."""
    import tensorflow as tf

    function = tf.function(step(layer), jit_compile=jit_compile)
    function(*inputs)  # once to trace and to compile
    peaks = []
    for _ in range(3):
        gc.collect()
        try:
            before = tf.config.experimental.get_memory_info("CPU:0")["current"]
        except ValueError:
            pytest.skip("TensorFlow counts the processor's memory with oneDNN alone")
        tf.config.experimental.reset_memory_stats("CPU:0")
        function(*inputs)
        peaks.append(tf.config.experimental.get_memory_info("CPU:0")["peak"] - before)
    return max(peaks)


@only_on_tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_peak_of_memory(jit_compile, monkeypatch):
    """Measured: the size of a slab of groups is not known in the graph."""
    import tensorflow as tf

    from keras_attention.ops.additive import scores_tensorflow as additive_tensorflow

    # As for larger inputs: one group of units in each slab.
    monkeypatch.setattr(additive_tensorflow, "SCORE_SLAB", 1)
    monkeypatch.setattr(additive_tensorflow, "GRADIENT_SLAB", 1)
    layer, inputs = BahdanauAttention(UNITS), [tf.constant(x) for x in arrays()]
    layer(*inputs)
    cube = 4 * PAIRS * UNITS
    assert peak_of(layer, inputs, jit_compile) < cube / 2
    monkeypatch.setattr(additive, "SMALL", PAIRS * UNITS)
    assert peak_of(layer, inputs) > cube


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="reads JAX's programs")
def test_no_value_of_all_pairs_and_units_on_jax(layer):
    import jax

    inputs = arrays()
    layer(*inputs)
    states = [weight.value for weight in layer.non_trainable_variables]

    def loss(weights, query, value):
        return layer.stateless_call(weights, states, query, value)[0].sum()

    weights = [weight.value for weight in layer.trainable_variables]
    compiled = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(weights, *inputs).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * LARGEST * 4
