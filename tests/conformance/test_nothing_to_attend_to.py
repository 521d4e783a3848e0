"""A sequence that is all padding: zeros and finite gradients, in every dtype."""

import numpy as np
import pytest

from tests.arrays import as_float64, assert_close
from tests.conformance.cases import B
from tests.conformance.masking import steps_of_values
from tests.gradients import gradients


# Without the weights, layers with heads may take another path: in float16, whose range is small.
@pytest.mark.parametrize(
    ("dtype", "with_weights"),
    [("float32", False), ("float32", True), ("float16", False), ("bfloat16", True)],
)
def test_nothing_to_attend_to(case, dtype, with_weights):
    """Weights 0 and context 0, with the rest of the batch as without the empty sequence."""
    layer, inputs = case.built_layer(dtype=dtype), case.inputs()
    mask = np.ones((B, steps_of_values(case)), bool)
    mask[0] = False
    name = case.mask_names[1] if case.is_cross or case.is_pooling else "value_mask"
    kwargs = {name: mask, "return_attention_scores": with_weights}
    outputs = layer(**inputs, **kwargs)
    output, *weights = [as_float64(o) for o in (outputs if with_weights else [outputs])]
    nothing = as_float64(layer.output_dense.bias) if case.has_output_bias else 0.0
    assert_close(output[0], np.broadcast_to(nothing, output[0].shape), rtol=1e-6)
    assert all((w[0] == 0).all() for w in weights)
    alone = layer(**{n: x[1:] for n, x in inputs.items()})
    assert_close(output[1:], as_float64(alone), rtol=0.05, atol=0.05)
    found = gradients(layer, inputs, **kwargs)
    assert all(np.isfinite(g).all() for g in found.values())
    for n in inputs.keys() & found.keys():
        assert (found[n][0] == 0).all(), n
