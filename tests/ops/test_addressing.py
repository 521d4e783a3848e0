"""The addressing of a Neural Turing Machine against its equations, location by location."""

import keras
import numpy as np
import pytest

from keras_attention.ops import addressing
from tests.arrays import as_float64, assert_close
from tests.gradients import gradients

B, H, N, M = 2, 3, 7, 5
GENERATOR = np.random.default_rng(0)
CLOSE = {"rtol": 1e-4, "atol": 1e-6}


def array(*shape):
    return GENERATOR.standard_normal(shape).astype("float32")


def simplex(*shape):
    return GENERATOR.dirichlet(np.ones(shape[-1]), shape[:-1]).astype("float32")


def called(function, *arrays):
    return function(*map(keras.ops.convert_to_tensor, arrays))


def test_content_weights():
    key, strength, memory = array(B, H, M), np.abs(array(B, H)) * 3, array(B, N, M)
    expected = np.zeros((B, H, N))
    for b, h in np.ndindex(B, H):
        k = key[b, h].astype("float64")
        scores = [
            strength[b, h] * (k @ row) / np.linalg.norm(k) / np.linalg.norm(row)
            for row in memory[b].astype("float64")
        ]
        expected[b, h] = np.exp(scores) / np.exp(scores).sum()
    assert_close(called(addressing.content_weights, key, strength, memory), expected, **CLOSE)


def test_a_blank_memory_resembles_no_key():
    """Weights are equal, and the gradients of a memory that is written to later are finite."""
    given = {"key": array(B, H, M), "strength": np.abs(array(B, H)), "memory": np.zeros((B, N, M))}
    given["memory"] = given["memory"].astype("float32")
    assert_close(
        addressing.content_weights(**keras.tree.map_structure(keras.ops.convert_to_tensor, given)),
        np.full((B, H, N), 1 / N),
        **CLOSE,
    )
    layer = Function(addressing.content_weights)
    layer.built = True
    assert all(np.isfinite(x).all() for x in gradients(layer, given).values())


class Function(keras.layers.Layer):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, key, strength, memory):
        return self.function(key, strength, memory)


def test_interpolate():
    weights, previous = simplex(B, H, N), simplex(B, H, N)
    gate = GENERATOR.random((B, H)).astype("float32")
    expected = np.zeros((B, H, N))
    for b, h in np.ndindex(B, H):
        expected[b, h] = gate[b, h] * weights[b, h] + (1 - gate[b, h]) * previous[b, h]
    assert_close(called(addressing.interpolate, weights, previous, gate), expected, **CLOSE)


@pytest.mark.parametrize("reach", [1, 2, 3])
def test_shift(reach):
    weights, kernel = simplex(B, H, N), simplex(B, H, 2 * reach + 1)
    expected = np.zeros((B, H, N))
    for b, h, i in np.ndindex(B, H, N):
        for s in range(-reach, reach + 1):
            expected[b, h, i] += kernel[b, h, s + reach] * weights[b, h, (i - s) % N]
    assert_close(called(addressing.shift, weights, kernel), expected, **CLOSE)


def test_a_shift_of_one_from_the_last_location_is_to_the_first():
    weights = np.zeros((1, 1, N), "float32")
    weights[..., N - 1] = 1
    kernel = np.array([[[0.0, 0.0, 1.0]]], "float32")
    assert as_float64(called(addressing.shift, weights, kernel)).argmax() == 0


def test_sharpen():
    weights, power = simplex(B, H, N), 1 + np.abs(array(B, H)) * 5
    raised = weights.astype("float64") ** power[..., None]
    expected = raised / raised.sum(-1, keepdims=True)
    assert_close(called(addressing.sharpen, weights, power), expected, **CLOSE)
    one = np.eye(N, dtype="float32")[None, :H]
    assert_close(called(addressing.sharpen, one, power[:1]), one, atol=1e-6)


def test_read_and_write():
    memory, weights = array(B, N, M), simplex(B, H, N)
    erase, add = GENERATOR.random((B, H, M)).astype("float32"), array(B, H, M)
    read, after = np.zeros((B, H, M)), memory.astype("float64")
    for b, h, i in np.ndindex(B, H, N):
        read[b, h] += weights[b, h, i] * memory[b, i]
    for b, h, i in np.ndindex(B, H, N):
        after[b, i] *= 1 - weights[b, h, i] * erase[b, h]
    for b, h, i in np.ndindex(B, H, N):
        after[b, i] += weights[b, h, i] * add[b, h]
    assert_close(called(addressing.read, memory, weights), read, **CLOSE)
    assert_close(called(addressing.write, memory, weights, erase, add), after, **CLOSE)
