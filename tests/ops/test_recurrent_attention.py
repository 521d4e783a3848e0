"""The loop as one operation: its results from the formulas, its gradients by differences."""

import functools

import keras
import numpy as np
import pytest

from keras_attention.ops.recurrent.attention import has_recurrent_attention, recurrent_attention

T, B, TV, H, D, U = 5, 3, 7, 11, 13, 17
GATES = {"gru": 3, "lstm": 4}
CASES = [(cell, score) for cell in GATES for score in ("additive", "dot")]
MASK = np.arange(TV) < np.array([7, 0, 2])[:, None, None]  # a row without anything to attend to

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow has this operation"
)


def arguments(cell, score):
    generator = np.random.default_rng(11)
    gates = GATES[cell] * H
    additive = score == "additive"
    shapes = {
        "inputs": (T, B, gates),
        "key": (B, TV, U if additive else H),
        "value": (B, TV, D),
        "context_kernel": (D, gates),
        "hidden_kernel": (H, gates + U * additive),
        "hidden_bias": (gates,),
        "hidden": (B, H),
    }
    shapes |= {"carry": (B, H)} if cell == "lstm" else {}
    shapes |= {"vector": (U,)} if additive else {}
    return {name: generator.standard_normal(shape) / 2 for name, shape in shapes.items()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def oracle(cell, arrays):
    """Hidden states and contexts in NumPy."""
    a = arrays
    gates, state, rows = a["inputs"].shape[-1], [a["hidden"], a.get("carry")], []
    for x in a["inputs"]:
        before, carry = state
        query = before if "vector" not in a else before @ a["hidden_kernel"][:, gates:]
        if "vector" in a:
            scores = np.tanh(query[:, None] + a["key"]) @ a["vector"]
        else:
            scores = np.einsum("bu,bju->bj", query, a["key"])
        e = np.where(MASK[:, 0], np.exp(scores), 0)
        weights = e / np.maximum(e.sum(axis=-1, keepdims=True), 1e-300)
        context = np.einsum("bj,bjd->bd", weights, a["value"])
        x = x + context @ a["context_kernel"]
        h = before @ a["hidden_kernel"][:, :gates] + a["hidden_bias"]
        if cell == "gru":
            (x_z, x_r, x_n), (h_z, h_r, h_n) = np.split(x, 3, axis=1), np.split(h, 3, axis=1)
            z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
            state = [z * before + (1 - z) * np.tanh(x_n + r * h_n), None]
        else:
            i, f, g, o = np.split(x + h, 4, axis=1)
            carry = sigmoid(f) * carry + sigmoid(i) * np.tanh(g)
            state = [sigmoid(o) * np.tanh(carry), carry]
        rows.append((state[0], context))
    return tuple(np.stack(x) for x in zip(*rows, strict=True))


def operation(cell, arrays, mask=MASK):
    a = dict(arrays)
    state = [a.pop(name) for name in ("hidden", "carry") if name in a]
    return recurrent_attention(cell, state=state, mask=mask, **a)


def close(found, expected, tolerance):
    found, expected = np.asarray(found), np.asarray(expected)
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@tensorflow_only
@pytest.mark.parametrize(("cell", "score"), CASES)
@pytest.mark.parametrize("mode", ["eager", "unknown sizes", "xla"])
def test_formula(cell, score, mode):
    import tensorflow as tf

    arrays = arguments(cell, score)
    tensors = {name: tf.constant(x, "float32") for name, x in arrays.items()}
    function = functools.partial(operation, cell)
    if mode == "xla":
        function = tf.function(function, jit_compile=True)
    elif mode == "unknown sizes":
        unknown = {"inputs": (0, 1), "key": (0, 1), "value": (0, 1), "hidden": (0,), "carry": (0,)}
        signature = {
            name: tf.TensorSpec(
                [None if i in unknown.get(name, ()) else n for i, n in enumerate(x.shape)]
            )
            for name, x in tensors.items()
        }
        mask = tf.TensorSpec((None, 1, None), "bool")
        function = tf.function(function, input_signature=[signature, mask])
    found = function(tensors, tf.constant(MASK))
    for x, y in zip(found, oracle(cell, arrays), strict=True):
        close(x, y, 1e-6)


@tensorflow_only
@pytest.mark.parametrize(("cell", "score"), CASES)
def test_gradients_are_the_differences_of_the_oracle(cell, score):
    """In float64, which the operation can although no layer asks it to."""
    import tensorflow as tf

    arrays = arguments(cell, score)
    generator = np.random.default_rng(13)
    probes = generator.standard_normal((T, B, H)), generator.standard_normal((T, B, D))

    def loss(arrays):
        return sum((x * y).sum() for x, y in zip(oracle(cell, arrays), probes, strict=True))

    tensors = {name: tf.constant(x) for name, x in arrays.items()}
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        found = operation(cell, tensors)
        value = sum(tf.reduce_sum(x * y) for x, y in zip(found, probes, strict=True))
    gradients = tape.gradient(value, tensors)
    np.testing.assert_allclose(value, loss(arrays), rtol=1e-12)
    for name, x in arrays.items():
        for direction in generator.standard_normal((3, *x.shape)):
            step = 1e-5 * direction
            ahead, behind = (loss({**arrays, name: y}) for y in (x + step, x - step))
            expected = (ahead - behind) / 2e-5
            found = (gradients[name].numpy() * direction).sum()
            np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=name)


@tensorflow_only
@pytest.mark.parametrize("mode", ["plain", "xla"])
def test_saturated_scores_have_finite_gradients(mode):
    import tensorflow as tf

    arrays = arguments("gru", "additive")
    arrays["key"] *= 1e4
    arrays["vector"] *= 1e4
    tensors = {name: tf.constant(x, "float32") for name, x in arrays.items()}

    @functools.partial(tf.function, jit_compile=mode == "xla")
    def gradients(tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = sum(tf.reduce_sum(x) for x in operation("gru", tensors))
        return tape.gradient(value, tensors)

    assert all(np.isfinite(x).all() for x in gradients(tensors).values())


def test_where_it_runs():
    assert has_recurrent_attention("float32") == (keras.backend.backend() == "tensorflow")
    assert not has_recurrent_attention("float16")
