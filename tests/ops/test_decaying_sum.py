import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.ops import decaying_sum
from tests.arrays import as_float64, assert_close
from tests.gradients import gradients


def tensor(x):
    return ops.convert_to_tensor(x, dtype="float32")


def one_after_another(log_decay, x):
    y, last = np.zeros_like(x), np.zeros(x.shape[:-1])
    for j in range(x.shape[-1]):
        last = np.exp(log_decay[..., j]) * last + x[..., j]
        y[..., j] = last
    return y


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 255, 257, 4099])
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_equals_the_recurrence(length, scale):
    generator = np.random.default_rng(length)
    log_decay = (-scale * generator.random((2, 3, length))).astype("float32")
    x = generator.random((2, 3, length)).astype("float32")
    expected = one_after_another(log_decay.astype("float64"), x.astype("float64"))
    assert_close(decaying_sum(tensor(log_decay), tensor(x)), expected, rtol=3e-6)


def test_literal_numbers():
    half = np.log([[0.5, 0.5, 0.5]])
    assert_close(decaying_sum(tensor(half), tensor([[1.0, 0.0, 4.0]])), [[1, 0.5, 4.25]], rtol=1e-6)


def test_a_decay_to_nothing_forgets_and_no_decay_sums():
    x = tensor([[1.0, 2.0, 3.0]])
    assert_close(decaying_sum(tensor([[-1e4] * 3]), x), x, rtol=0)
    assert_close(decaying_sum(tensor([[0.0] * 3]), x), [[1, 3, 6]], rtol=1e-6)


class Scan(keras.layers.Layer):
    def call(self, log_decay, x):
        return decaying_sum(log_decay, x)


def test_gradients_equal_differences_of_the_recurrence():
    generator = np.random.default_rng(5)
    arrays = {"log_decay": -generator.random((1, 37)), "x": generator.random((1, 37))}
    factors = generator.standard_normal((1, 37))
    layer = Scan()
    inputs = {n: a.astype("float32") for n, a in arrays.items()}
    layer(**inputs)
    found = gradients(layer, inputs, lambda y: ops.sum(y * tensor(factors)))
    for name in arrays:
        for j in range(37):
            values = []
            for sign in (1, -1):
                moved = {n: a.copy() for n, a in arrays.items()}
                moved[name][0, j] += sign * 1e-6
                values.append(np.sum(one_after_another(**moved) * factors))
            assert_close(found[name][0, j], (values[0] - values[1]) / 2e-6, rtol=1e-3, atol=1e-5)


def test_gradient_is_finite_where_all_is_forgotten():
    layer, x = Scan(), np.ones((1, 19), "float32")
    inputs = {"log_decay": np.full((1, 19), -1e4, "float32"), "x": x}
    layer(**inputs)
    assert all(np.isfinite(g).all() for g in gradients(layer, inputs).values())


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="lengths are known elsewhere")
def test_a_length_that_is_not_known():
    import tensorflow as tf

    spec = tf.TensorSpec([None, None])
    function = tf.function(decaying_sum, input_signature=[spec, spec])
    for length in (1, 16, 17, 300):
        x = np.random.default_rng(0).random((2, length)).astype("float32")
        assert_close(function(-x, x), one_after_another(-as_float64(x), as_float64(x)), rtol=3e-6)
