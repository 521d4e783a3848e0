"""What the tests of layers over a scorer share: sizes, inputs, and the scorer's own numbers."""

import numpy as np
from keras import ops

from tests.arrays import as_float64

B, TQ, TV, DQ, DK, DV, UNITS = 2, 3, 5, 7, 11, 13, 17
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
MASK = np.array([[True, False, True, True, False], [False, True, True, True, True]])
PAIRS = np.array(
    [
        [[True, False, True, True, False], [False] * 5, [True, True, True, False, True]],
        [[True] * 5, [False, False, True, True, True], [False, True, True, True, True]],
    ]
)
MASKS = {
    "none": ({}, np.ones((B, TQ, TV), bool)),
    "of values": ({"value_mask": MASK}, np.repeat(MASK[:, None], TQ, 1)),
    "of pairs": ({"attention_mask": PAIRS}, PAIRS),
}


def arrays():
    generator = np.random.default_rng(0)
    shapes = {"query": (B, TQ, DQ), "value": (B, TV, DV), "key": (B, TV, DK)}
    return {n: generator.standard_normal(s).astype("float32") for n, s in shapes.items()}


def spread(layer, seed=1, scale=0.5):
    """Moves every weight: what starts at 0 would hide what it multiplies."""
    generator = np.random.default_rng(seed)
    for weight in layer.trainable_weights:
        weight.assign(weight + scale * generator.standard_normal(weight.shape).astype("float32"))
    return layer


def scores_of(scorer, query, key, **kwargs):
    """Scores `(B, Tq, Tv)`, float64; the scorers have tests of their own."""
    query, key = (ops.convert_to_tensor(x, "float32") for x in (query, key))
    return as_float64(scorer.compute_scores(scorer.project_query(query), scorer.project_key(key)))


def context_of(weights, value):
    return np.einsum("bts,bsd->btd", weights, value.astype("float64"))
