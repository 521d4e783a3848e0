"""The parts of a beam search."""

import numpy as np
import pytest
from keras import ops

from keras_attention.decoding.beam import best_tokens


@pytest.mark.parametrize("vocabulary", [7, 251, 257, 300, 1000, 1009])
def test_the_best_tokens_are_those_of_top_k(vocabulary):
    """By groups or not: of equals the first, and what is forbidden last."""
    generator = np.random.default_rng(vocabulary)
    scores = generator.integers(0, 30, (2, 3, vocabulary)).astype("float32")  # many are equal
    scores[0, 1] = -np.inf
    scores[1, 2, 5:] = -np.inf
    values, tokens = best_tokens(ops.convert_to_tensor(scores), 5)
    wanted = np.argsort(-scores, axis=-1, kind="stable")[..., :5]
    np.testing.assert_array_equal(tokens, wanted)
    np.testing.assert_array_equal(values, np.take_along_axis(scores, wanted, axis=-1))
