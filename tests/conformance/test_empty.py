"""Sizes of 0: no sequences, no queries, nothing to attend to. Outputs are empty or zeros."""

import keras
import numpy as np
import pytest

from tests.arrays import as_float64
from tests.conformance.blocks import BLOCKS
from tests.conformance.cases import CASES
from tests.gradients import gradients

SEQUENCES = [block for block in BLOCKS if block.layer_class is not keras.layers.RNN]  # wants a step
ROWS = [pytest.param(row, id=row.name) for row in (*CASES, *SEQUENCES)]
SIZES = [(0, 3, 5), (2, 0, 5), (2, 3, 0)]


def options(row, training):
    if row not in CASES:
        return row.call
    return {"return_attention_scores": True, "training": training}


@pytest.mark.parametrize("row", ROWS)
def test_sizes_of_nothing(row):
    layer = row.built_layer()
    for sizes in SIZES:
        for training in (False, True) if row in CASES else (False,):
            inputs, kwargs = row.inputs(*sizes), options(row, training)
            outputs = layer(**inputs, **kwargs)
            output, *weights = [as_float64(x) for x in keras.tree.flatten(outputs)]
            assert np.isfinite(output).all()
            if row in CASES:
                assert output.shape == row.output_shape(*sizes)
                assert weights[0].shape == row.weights_shape(*sizes)
            else:
                assert output.shape == (*sizes[:2], row.output_dim)
            if row in CASES and row.is_cross and sizes[2] == 0 and not row.has_output_bias:
                assert not output.any()
            tokens = {n: x for n, x in inputs.items() if x.dtype.kind == "i"}
            floats = {n: x for n, x in inputs.items() if n not in tokens}
            for name, found in gradients(layer, floats, **tokens, **kwargs).items():
                assert np.isfinite(found).all(), name
