"""In a `tf.function` of unknown batch and lengths: one trace, and the answers of eager mode.

With a causal mask and padding here; with padding masks alone in `test_saved_model.py`, without any
in `test_unknown_features.py`.
"""

import pytest
import tensorflow as tf

from tests.arrays import assert_close
from tests.conformance.cases import CASES, SEQUENCE_CASES
from tests.conformance.test_saved_model import CLOSE, LENGTHS, arrays_for

POOLING_CASES = [case for case in CASES if case.is_pooling]


def specs(case, names):
    return {
        name: tf.TensorSpec([None, None, case.sizes[name]])
        if name in case.sizes
        else tf.TensorSpec([None, None], tf.bool)
        for name in names
    }


def assert_function_equals_eager(case, **kwargs):
    layer = case.built_layer()
    names = [*case.sizes, *sorted(set(case.mask_names))]

    @tf.function(input_signature=[specs(case, names)])
    def function(arrays):
        outputs = layer(**arrays, return_attention_scores=True, **kwargs)
        # Feature sizes stay known in the graph: layers that follow need them to be built.
        assert outputs[0].shape[-1] == case.output_dim
        return outputs

    for lengths in LENGTHS:
        arrays = {name: x for name, x in arrays_for(case, *lengths).items() if name in names}
        expected = layer(**arrays, return_attention_scores=True, **kwargs)
        found = function({name: tf.constant(x) for name, x in arrays.items()})
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape
            assert_close(one, other, **CLOSE)
    assert function.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("case", POOLING_CASES, ids=lambda case: case.name)
def test_pooling_function_equals_eager(case):
    assert_function_equals_eager(case)


@pytest.mark.parametrize("case", SEQUENCE_CASES, ids=lambda case: case.name)
def test_causal_function_equals_eager(case):
    assert_function_equals_eager(case, use_causal_mask=True)
