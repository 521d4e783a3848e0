"""Inputs that fit no layer are refused in words, called at once or symbolically."""

import keras
import numpy as np
import pytest

from tests.conformance.cases import CROSS_CASES, TV, B

SYMBOLIC = pytest.mark.parametrize("symbolic", [False, True])


def maybe_symbolic(inputs, symbolic):
    if not symbolic:
        return inputs
    return {n: keras.Input(batch_shape=(None, *x.shape[1:])) for n, x in inputs.items()}


@SYMBOLIC
@pytest.mark.parametrize("rank", [2, 4])
def test_rank_of_inputs(case, symbolic, rank):
    for name in case.sizes:
        inputs = case.inputs()
        inputs[name] = inputs[name][:, 0] if rank == 2 else inputs[name][:, None]
        shape = r"\(" + ("None" if symbolic else str(B))
        with pytest.raises(ValueError, match=f"rank 3.*Received: {name}.shape={shape}"):
            case.layer()(**maybe_symbolic(inputs, symbolic))


@SYMBOLIC
def test_rank_of_inputs_once_built(case, symbolic):
    """`build` has looked at the first call alone."""
    layer, inputs = case.built_layer(), case.inputs()
    inputs["query"] = inputs["query"][:, 0]
    with pytest.raises(ValueError, match="rank 3.*Received: query.shape="):
        layer(**maybe_symbolic(inputs, symbolic))


@pytest.mark.parametrize("case", CROSS_CASES, ids=lambda case: case.name)
@SYMBOLIC
def test_key_and_value_of_different_lengths(case, symbolic):
    inputs = case.inputs()
    key_dim = case.sizes.get("key", case.sizes["value"])
    inputs["key"] = np.zeros((B, TV + 1, key_dim), "float32")
    with pytest.raises(ValueError, match="same number of steps. Received: key.shape="):
        case.layer()(**maybe_symbolic(inputs, symbolic))
