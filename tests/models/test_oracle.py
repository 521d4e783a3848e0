"""The whole model against NumPy."""

import numpy as np
import pytest
from keras import ops

from tests.models.oracle import Oracle
from tests.models.variants import (
    LENGTHS,
    MANY,
    SOURCE,
    VARIANTS,
    array,
    batch,
    ending,
    many_sources,
)

STEPS = 5


@pytest.fixture(params=["previous", "current"])
def query(request):
    return request.param


def test_teacher_forced_logits(query):
    model, inputs = VARIANTS[0].model(query=query), batch()
    logits = array(model(inputs))
    oracle = Oracle(model)
    for i, length in enumerate(LENGTHS):
        expected = oracle.logits(inputs["source"][i, :length], inputs["target"][i], query)
        np.testing.assert_allclose(logits[i], expected, atol=1e-5)


def test_greedy_answers(query):
    model, source = VARIANTS[0].model(query=query), many_sources()
    with ending(model, STEPS):
        end_id = model.end_id
        found = [ops.convert_to_numpy(x) for x in model.decode(source, max_length=STEPS)]
    oracle = Oracle(model)
    for i, length in enumerate(MANY):
        tokens, score, alignment = oracle.decode(source[i, :length], 2, end_id, STEPS, query)
        expected = np.zeros((STEPS, SOURCE))
        expected[: len(tokens), :length] = alignment
        np.testing.assert_array_equal(found[0][i], [*tokens, *[0] * (STEPS - len(tokens))])
        assert found[1][i] == len(tokens)
        np.testing.assert_allclose(found[2][i], score, rtol=1e-5)
        np.testing.assert_allclose(found[3][i], expected, atol=1e-5)
    assert set(found[1]) & set(range(1, STEPS))
    assert len(set(found[1])) > 1
