"""Runs that are trusted to be quick, and runs that never are."""

import numpy as np
import pytest
import tensorflow as tf

from keras_attention_serving.protocol import wire
from keras_attention_serving.runtime.quick_runs import MAX_KNOWN, QuickRuns
from keras_attention_serving.runtime.saved_model import SavedModel

FETCHES = ["y:0"]


def runs(function, *specs):
    """The `QuickRuns` of the graph of a function, as in a SavedModel."""
    graph = tf.function(function, autograph=False).get_concrete_function(*specs).graph
    with graph.as_default():
        meta_graph = tf.compat.v1.train.export_meta_graph(
            graph=graph, graph_def=graph.as_graph_def()
        )
    return QuickRuns(wire.MetaGraphDef.FromString(meta_graph.SerializeToString()))


def floats(*shape):
    return {"x:0": np.ones(shape, np.float32)}


def integers(*values):
    return {"x:0": np.array(values, np.int32)}


def trusted_after(known, feeds):
    """A function that returns True if other feeds are trusted after a quick run of these."""
    known.note(known.key(feeds, FETCHES), 0.0001, [])
    return lambda other: known.has(known.key(other, FETCHES))


FLOATS = tf.TensorSpec([None, None], tf.float32)
INTEGERS = tf.TensorSpec([None], tf.int32)


def test_floats_are_trusted_by_their_shape():
    is_trusted = trusted_after(runs(lambda x: x @ tf.transpose(x), FLOATS), floats(2, 3))
    assert is_trusted({"x:0": np.zeros((2, 3), np.float32)})
    assert not is_trusted(floats(3, 2))
    assert not is_trusted(floats(6, 1))
    assert not is_trusted({"x:0": np.ones((2, 3), np.float64)})
    assert not is_trusted({"z:0": np.ones((2, 3), np.float32)})


def test_integers_are_trusted_by_their_values():
    is_trusted = trusted_after(runs(tf.zeros, INTEGERS), integers(2, 3))
    assert is_trusted(integers(2, 3))
    assert not is_trusted(integers(20011, 20011))


def test_strings_are_trusted_by_their_values():
    known = runs(tf.strings.upper, tf.TensorSpec([None], tf.string))
    is_trusted = trusted_after(known, {"x:0": np.array([b"ab", b""], object)})
    assert is_trusted({"x:0": np.array([b"ab", b""], object)})
    assert not is_trusted({"x:0": np.array([b"ab" * 5003, b""], object)})
    assert known.key({"x:0": np.array([b"a" * 65537], object)}, FETCHES) is None


def test_floats_that_become_sizes_are_trusted_by_their_values():
    known = runs(lambda x: tf.range(tf.cast(x[0, 0], tf.int32)), FLOATS)
    is_trusted = trusted_after(known, floats(2, 3))
    assert is_trusted(floats(2, 3))
    assert not is_trusted({"x:0": np.full((2, 3), 1e9, np.float32)})


def test_what_took_long_or_returned_much_is_not_trusted():
    known = runs(lambda x: x * 2, FLOATS)
    key = known.key(floats(2, 3), FETCHES)
    known.note(key, 0.001, [])
    assert not known.has(key)
    known.note(key, 0.0001, [np.zeros(16411, np.float32)])
    assert not known.has(key)
    known.note(key, 0.0001, [])
    known.note(key, 0.004, [])  # a busy machine
    assert known.has(key)
    known.note(key, 0.006, [])
    assert not known.has(key)


def test_clients_cannot_fill_the_memory():
    known = runs(lambda x: x * 2, FLOATS)
    for size in range(MAX_KNOWN + 7):
        assert trusted_after(known, floats(1, size))(floats(1, size))
    assert not known.has(known.key(floats(1, 2), FETCHES))


def unstage(x):
    return tf.raw_ops.Unstage(dtypes=[tf.float32])[0] + x


def dequeue(x):
    return tf.queue.FIFOQueue(2, [tf.float32]).dequeue() + x


@pytest.mark.parametrize(
    "function",
    [
        *(unstage, dequeue),
        lambda x: tf.io.decode_raw(tf.io.read_file("/dev/stdin"), tf.float32) + x[0, 0],
        lambda x: tf.while_loop(lambda i: i < x[0, 0], lambda i: [i + 1], [0.0])[0],
        lambda x: tf.cond(x[0, 0] > 0, lambda: x, lambda: x @ x),
        lambda x: tf.map_fn(tf.reduce_sum, x),
        lambda x: tf.numpy_function(np.sum, [x], tf.float32),
        lambda x: tf.image.non_max_suppression(x, x[:, 0], 5),
        lambda x: tf.raw_ops.Barrier(component_types=[tf.float32], shapes=[[]]),
    ],
    ids="unstage dequeue read while cond map numpy suppression barrier".split(),
)
def test_never(function):
    assert runs(function, FLOATS).key(floats(2, 3), FETCHES) is None


def test_graphs_that_do_not_describe_their_operations():
    meta_graph = wire.MetaGraphDef()
    meta_graph.graph_def.node.add(name="y", op="Unstage")
    assert QuickRuns(meta_graph).key(floats(2, 3), FETCHES) is None


def test_a_saved_model(tmp_path):
    """Variables, tables and functions are no reason to wait; nor is what restores them."""
    module = tf.Module()
    module.scale = tf.Variable(2.0)
    module.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [3.0]), 5.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def function(x):
        tf.debugging.assert_all_finite(x, "finite")
        return {"y": x * module.scale + module.table.lookup(tf.constant("a"))}

    tf.saved_model.save(module, str(tmp_path), signatures=function)
    with SavedModel(tmp_path) as model:
        signature = model.signatures["serving_default"]
        feeds = {signature.inputs["x"].name: np.ones(7, np.float32)}
        fetches = [signature.outputs["y"].name]
        for _ in range(500):
            assert model.run(feeds, fetches)[0].tolist() == [5.0] * 7
            if model.is_quick(feeds, fetches):
                break
        assert model.is_quick(feeds, fetches)
        assert model.run(feeds, fetches)[0].tolist() == [5.0] * 7
        assert not model.is_quick({name: x[:5] for name, x in feeds.items()}, fetches)
