"""Integers as floats: what Keras does not cast is cast by the layers, on every way in."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from tests.arrays import as_float64, assert_close
from tests.conformance.blocks import BLOCKS
from tests.conformance.cases import CASES

ROWS = [pytest.param(row, id=row.name) for row in (*CASES, *BLOCKS)]
DTYPES = ("int8", "int16", "int32", "int64", "uint8", "bool", "float16")


def integers(row):
    """Small numbers for the sequences of a row; tokens are as they are."""
    return {
        name: x if x.dtype.kind == "i" else np.abs(np.rint(2 * x))
        for name, x in row.inputs().items()
    }


def call(layer, row, inputs):
    options = {"return_attention_scores": True} if row in CASES else row.call
    return keras.tree.flatten(layer(**inputs, **options))


@pytest.mark.parametrize("row", ROWS)
def test_integers_give_what_floats_give(row):
    layer = row.built_layer()
    for dtype in DTYPES:
        arrays = {
            n: x if x.dtype.kind == "i" else x.astype(dtype) for n, x in integers(row).items()
        }
        wide = {
            n: x if x.dtype.kind == "i" else x.astype("float32") for n, x in integers(row).items()
        }
        if dtype == "bool":
            wide = {n: np.minimum(x, 1) if x.dtype.kind != "i" else x for n, x in wide.items()}
        given = {n: ops.convert_to_tensor(x) for n, x in arrays.items()}
        found, expected = call(layer, row, given), call(layer, row, wide)
        assert {keras.backend.standardize_dtype(x.dtype) for x in found} == {"float32"}
        for one, wanted in zip(found, expected, strict=True):
            assert_close(one, wanted, rtol=1e-5, atol=1e-5, err_msg=dtype)


@pytest.mark.parametrize("row", ROWS)
def test_a_model_of_integers(row):
    arrays = {n: x.astype("int32") for n, x in integers(row).items()}
    inputs = {
        n: keras.Input((None, *x.shape[2:]), name=n, dtype="int32") for n, x in arrays.items()
    }
    layer = row.built_layer()
    outputs = call(layer, row, inputs)
    assert {x.dtype for x in outputs} == {"float32"}
    model = keras.Model(inputs, outputs)
    found = keras.tree.flatten(model({n: ops.convert_to_tensor(x) for n, x in arrays.items()}))
    wide = {n: x if x.dtype.kind == "i" else x.astype("float32") for n, x in integers(row).items()}
    for one, wanted in zip(found, call(layer, row, wide), strict=True):
        assert keras.backend.standardize_dtype(one.dtype) == "float32"
        assert_close(one, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "case", [c for c in CASES if c.is_cross and "key" not in c.sizes], ids=lambda case: case.name
)
def test_steps_of_integers(case):
    layer, arrays = case.built_layer(), integers(case)
    results = []
    for dtype in ("float32", "int32"):
        query, value = (ops.convert_to_tensor(arrays[n].astype(dtype)) for n in case.sizes)
        memory = layer.prepare(value)
        output, _, weights = layer.step(query[:, 0], layer.initial_state(memory), memory)
        results.append((output, weights))
        assert keras.backend.standardize_dtype(output.dtype) == "float32"
    for expected, found in zip(*results, strict=True):
        assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_numbers_of_an_example():
    layer = ka.BahdanauAttention(4, kernel_initializer="ones")
    query = ops.convert_to_tensor([[[1, 0], [0, 2]]], dtype="int32")
    memory = ops.convert_to_tensor([[[1, 0], [0, 1], [3, 1]]], dtype="int32")
    found = np.round(as_float64(layer(query, memory)), 3)
    assert_close(found, [[[1.415, 0.683], [1.344, 0.669]]])
