"""A decoder whose loop is one operation answers and learns as one without it."""

import contextlib

import keras
import numpy as np
import pytest

import keras_attention as ka
from keras_attention.models.recurrent import rnn_decoder, teacher_forcing
from keras_attention.models.recurrent.rnn_decoder import RNNDecoder
from keras_attention.models.recurrent.teacher_forcing import can_run_whole
from tests.models.variants import VARIANTS, batch

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow has this operation"
)

B, TT, TV, H, E, D, V = 5, 3, 7, 11, 13, 2, 17
ATTENTIONS = {
    "bahdanau": lambda **a: ka.BahdanauAttention(23, **a),
    "normalized": lambda **a: ka.BahdanauAttention(23, normalize=True, **a),
    "general": lambda **a: ka.LuongAttention("general", **a),
    "scaled": lambda **a: ka.LuongAttention("general", scale=True, **a),
    "dot": lambda **a: ka.LuongAttention("dot", **a),
}
CASES = [(cell, name) for cell in ("gru", "lstm") for name in ATTENTIONS]


@contextlib.contextmanager
def general_path():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rnn_decoder, "can_run_whole", lambda decoder: False)
        yield


def inputs(cell, width):
    generator = np.random.default_rng(3)
    normal = generator.standard_normal
    lengths = np.array([7, 3, 0, 1, 5])[:, None]  # one memory is all padding
    return {
        "target": generator.integers(1, V, (B, TT)),
        "memory": normal((B, TV, width)),
        "state": [[normal((B, 19)) for _ in range(2 if cell == "lstm" else 1)]],
        "memory_mask": np.arange(TV) < lengths,
    }


def decoder(cell, name, dtype="float32"):
    keras.utils.set_random_seed(5)
    made = RNNDecoder(V, H, E, cell=cell, attention=ATTENTIONS[name](dtype=dtype), dtype=dtype)
    width = H if name == "dot" else D
    made.build((B, TT), (B, TV, width), [[(B, 19)] * (2 if cell == "lstm" else 1)])
    made.built = True
    generator = np.random.default_rng(7)
    for weight in made.trainable_weights:
        weight.assign(generator.standard_normal(weight.shape) / 3)
    return made, inputs(cell, width)


def results(made, arrays, dtype="float32", wrap=lambda function: function):
    """Logits, then gradients by every weight, by memory and by state; as float64."""
    import tensorflow as tf

    probe = tf.constant(np.random.default_rng(9).standard_normal((B, TT, V)), dtype)
    cast = {"memory": tf.constant(arrays["memory"], dtype)}
    cast["state"] = [[tf.constant(x, dtype) for x in arrays["state"][0]]]

    @wrap
    def run(cast):
        variables = [weight.value for weight in made.trainable_weights]
        with tf.GradientTape() as tape:
            tape.watch(cast)
            logits = made(arrays["target"], memory_mask=arrays["memory_mask"], **cast)
            value = tf.reduce_sum(logits * probe)
        return logits, tape.gradient(value, (variables, cast))

    found = tf.nest.flatten(run(cast))
    return [np.asarray(tf.convert_to_tensor(x), "float64") for x in found]


def assert_close(found, expected, tolerance):
    """Relative to the largest number of each array."""
    for x, y in zip(found, expected, strict=True):
        assert np.abs(x - y).max() <= tolerance * np.abs(y).max()


@pytest.mark.parametrize(("cell", "name"), CASES)
def test_equal_to_the_general_path_in_every_weight(cell, name, monkeypatch):
    """In float64, which rounding does not blur; no decoder is sent that way in earnest."""
    made, arrays = decoder(cell, name, "float64")
    assert not can_run_whole(made)
    expected = results(made, arrays, "float64")
    monkeypatch.setattr(teacher_forcing, "has_recurrent_attention", lambda dtype: True)
    assert can_run_whole(made)
    assert_close(results(made, arrays, "float64"), expected, 1e-13)


@pytest.mark.parametrize(("cell", "name"), [("gru", "normalized"), ("lstm", "scaled")])
def test_equal_in_every_way_to_run_it(cell, name):
    import tensorflow as tf

    wide, arrays = decoder(cell, name, "float64")
    expected = results(wide, arrays, "float64")
    made, _ = decoder(cell, name)
    assert can_run_whole(made)
    for wrap in (lambda f: f, tf.function, lambda f: tf.function(f, jit_compile=True)):
        assert_close(results(made, arrays, wrap=wrap), expected, 2e-6)


def test_the_gradient_of_the_gradient():
    import tensorflow as tf

    made, arrays = decoder("gru", "bahdanau")

    def second(memory):
        with tf.GradientTape() as outer:
            outer.watch(memory)
            with tf.GradientTape() as inner:
                inner.watch(memory)
                state = [[tf.constant(x, "float32") for x in arrays["state"][0]]]
                value = tf.reduce_sum(made(arrays["target"], memory, state) ** 2)
            kernel = made.attention.query_dense.kernel.value
            by_memory, by_kernel = inner.gradient(value, (memory, kernel))
            value = tf.reduce_sum(by_memory**2) + tf.reduce_sum(by_kernel**2)
        return outer.gradient(value, memory).numpy()

    memory = tf.constant(arrays["memory"], "float32")
    found = second(memory)
    with general_path():
        expected = second(memory)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_padding_reaches_no_gradient():
    made, arrays = decoder("gru", "bahdanau")
    dirty = {
        **arrays,
        "memory": np.where(arrays["memory_mask"][..., None], arrays["memory"], np.nan),
    }
    for x, y in zip(results(made, dirty), results(made, arrays), strict=True):
        np.testing.assert_array_equal(x, y)


def test_fit_learns_the_same():
    labels = np.array([[5, 6], [7, 3], [3, 0]])

    def losses():
        model = VARIANTS[0].model()
        model.compile(
            keras.optimizers.Adam(0.01), loss=ka.SequenceCrossentropy(), jit_compile=False
        )
        return model.fit(batch(), labels, epochs=5, verbose=0).history["loss"]

    found = losses()
    with general_path():
        np.testing.assert_allclose(found, losses(), rtol=1e-5)
    assert found[-1] < found[0]


def test_dropout_of_weights_is_left_to_the_general_path():
    keras.utils.set_random_seed(1)
    made = RNNDecoder(V, H, E, attention=ka.BahdanauAttention(23, dropout=0.5, seed=3))
    arrays = inputs("gru", D)
    arguments = (arrays["target"], arrays["memory"], arrays["state"])
    calm = np.asarray(made(*arguments))
    np.testing.assert_array_equal(np.asarray(made(*arguments, training=False)), calm)
    assert np.abs(np.asarray(made(*arguments, training=True)) - calm).max() > 1e-3


def test_a_quantized_decoder_takes_the_general_path():
    made, arrays = decoder("gru", "bahdanau")
    arguments = (arrays["target"], arrays["memory"], arrays["state"])
    exact = np.asarray(made(*arguments))
    made.attention.query_dense.quantize("int8")
    assert not can_run_whole(made)
    np.testing.assert_allclose(np.asarray(made(*arguments)), exact, atol=0.1)


class Squared(ka.BahdanauAttention):
    def compute_scores(self, query, key):
        return super().compute_scores(query, key) ** 2


@pytest.mark.parametrize(
    ("attention", "arguments"),
    [
        (lambda: None, {}),
        (lambda: Squared(23), {}),
        (lambda: ka.LuongAttention("location", max_length=23), {}),
        (lambda: ka.LuongAttention("concat", units=23), {}),
        (lambda: ka.MultiHeadCrossAttention(2, 3), {}),
        (lambda: ka.BahdanauAttention(23), {"query": "current"}),
        (lambda: ka.BahdanauAttention(23), {"num_layers": 2}),
        (lambda: ka.BahdanauAttention(23), {"dtype": "mixed_float16"}),
        (lambda: ka.BahdanauAttention(23, dtype="mixed_float16"), {}),
        (lambda: ka.BahdanauAttention(23, dtype="float64"), {"dtype": "float64"}),
    ],
)
def test_anything_else_takes_the_general_path(attention, arguments):
    assert not can_run_whole(RNNDecoder(V, H, E, attention=attention(), **arguments))
