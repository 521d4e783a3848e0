import numpy as np
import pytest

import keras_attention as ka
from tests import oracles
from tests.arrays import as_float64, assert_close
from tests.layers.scored import CLOSE, MASKS, TQ, TV, UNITS, arrays, context_of, spread


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("normalize", [False, True])
def test_formula(masks, normalize):
    """See et al., equations 10 and 11."""
    layer = ka.CoverageAttention(ka.BahdanauAttention(UNITS, normalize=normalize))
    layer(**arrays())
    spread(layer)
    scorer, (kwargs, visible) = layer.scorer, MASKS[masks]
    w, u = as_float64(scorer.query_dense.kernel), as_float64(scorer.key_dense.kernel)
    v, b = as_float64(scorer.attention_v), 0.0
    if normalize:
        v = v * as_float64(scorer.attention_g) / np.sqrt(np.sum(v**2))
        b = as_float64(scorer.attention_b)
    w_c, b_c = as_float64(layer.history_dense.kernel)[0], as_float64(layer.history_dense.bias)
    given = {n: x.astype("float64") for n, x in arrays().items()}
    expected = np.zeros(visible.shape)
    for i in range(len(visible)):
        for t in range(TQ):
            covered = expected[i, :t].sum(0)
            projected = given["query"][i, t] @ w + b
            scores = [
                v @ np.tanh(projected + given["key"][i, s] @ u + covered[s] * w_c + b_c)
                for s in range(TV)
            ]
            expected[i, t] = oracles.softmax(scores, visible[i, t])
    found = layer(**arrays(), **kwargs, return_attention_scores=True)
    assert_close(found[1], expected, **CLOSE)
    assert_close(found[0], context_of(expected, given["value"]), **CLOSE)


def test_coverage_keeps_attention_from_coming_back():
    """Content says the first step, for every query; coverage is subtracted from the score."""
    layer = ka.CoverageAttention(ka.LuongAttention("dot"))
    query, memory = np.ones((1, 3, 1), "float32"), np.array([[[2.0], [1.0], [0.0]]])
    layer(query, memory)
    layer.history_dense.set_weights([np.array([[-50.0]]), np.array([0.0])])
    _, weights = layer(query, memory, return_attention_scores=True)
    assert as_float64(weights)[0].argmax(-1).tolist()[0] == 0
    assert len(set(as_float64(weights)[0].argmax(-1).tolist())) > 1
