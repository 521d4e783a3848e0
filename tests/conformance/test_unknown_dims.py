"""Symbolic calls: sizes that are not known stay None, the others are what they turn out to be."""

import keras
import pytest

from tests.conformance.cases import CROSS_CASES, TQ, TV, B

FLAGS = pytest.mark.parametrize("with_weights", [False, True])


def as_list(outputs):
    return list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]


def spec(x):
    return tuple(x.shape), keras.backend.standardize_dtype(x.dtype)


@FLAGS
def test_unknown_batch_and_steps(case, with_weights):
    outputs = case.layer()(**case.symbolic_inputs(), return_attention_scores=with_weights)
    expected = [case.output_shape(None, None, None), case.weights_shape(None, None, None)]
    assert [tuple(o.shape) for o in as_list(outputs)] == expected[: 1 + with_weights]


@FLAGS
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "bfloat16"])
def test_spec_equals_what_comes_out(case, with_weights, dtype):
    layer, inputs = case.layer(dtype=dtype), case.inputs()
    symbolic = {n: keras.KerasTensor(x.shape, "float32") for n, x in inputs.items()}
    expected = layer(**symbolic, return_attention_scores=with_weights)
    found = layer(**inputs, return_attention_scores=with_weights)
    assert [spec(o) for o in as_list(found)] == [spec(o) for o in as_list(expected)]
    shapes = [case.output_shape(), case.weights_shape()][: 1 + with_weights]
    assert [tuple(o.shape) for o in as_list(found)] == shapes


def test_compute_output_shape(case):
    layer = case.layer()
    shapes = {f"{n}_shape": x.shape for n, x in case.inputs().items()}
    assert tuple(layer.compute_output_shape(**shapes)) == case.output_shape()
    unknown = {f"{n}_shape": (None, None, d) for n, d in case.sizes.items()}
    assert tuple(layer.compute_output_shape(**unknown)) == case.output_shape(None, None, None)


@pytest.mark.parametrize("case", CROSS_CASES, ids=lambda case: case.name)
def test_arguments_by_position(case):
    """In the order of Keras' `MultiHeadAttention`: query, value, key, then the masks."""
    inputs = case.inputs()
    key = inputs.get("key", inputs["value"])
    symbolic = [keras.KerasTensor(x.shape) for x in (inputs["query"], inputs["value"], key)]
    masks = [keras.KerasTensor((B, length), "bool") for length in (TQ, TV, TV)]
    output = case.layer()(*symbolic, *masks)
    assert tuple(output.shape) == case.output_shape()
