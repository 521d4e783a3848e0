import numpy as np
import pytest

import keras_attention as ka
from tests import oracles
from tests.arrays import as_float64, assert_close
from tests.layers.scored import CLOSE, MASKS, UNITS, arrays, context_of, scores_of, spread


def built(**kwargs):
    layer = ka.MoChA(ka.BahdanauAttention(UNITS), **kwargs)
    layer(**arrays())
    return spread(layer)


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_formula(masks, training, size):
    layer, (kwargs, visible) = built(chunk_size=size), MASKS[masks]
    given = arrays()
    scores = scores_of(layer.scorer, given["query"], given["key"])
    scores = scores + as_float64(layer.attention_score_bias)
    chunk_scores = scores_of(layer.chunk_scorer, given["query"], given["key"])
    expected = np.zeros(scores.shape)
    for b in range(len(scores)):
        alpha = oracles.monotonic(scores[b], visible[b], hard=not training)
        for t, row in enumerate(alpha):
            expected[b, t] = oracles.chunkwise(row, chunk_scores[b, t], size, visible[b, t])
    found = layer(**given, **kwargs, training=training, return_attention_scores=True)
    assert_close(found[1], expected, **CLOSE)
    assert_close(found[0], context_of(expected, given["value"]), **CLOSE)


def test_a_chunk_of_one_step_is_monotonic_attention():
    layer = built(chunk_size=1, hard_inference=False)
    other = ka.MonotonicAttention(ka.BahdanauAttention(UNITS), hard_inference=False)
    other(**arrays())
    paths = {w.path.split("/", 1)[1].split("attention")[-1]: w for w in layer.scorer.weights}
    assert len(paths) == 3
    other.scorer.set_weights(layer.scorer.get_weights())
    other.attention_score_bias.assign(layer.attention_score_bias)
    assert_close(layer(**arrays()), other(**arrays()), **CLOSE)


def test_the_chunk_scorer_has_weights_of_its_own():
    layer = built()
    assert type(layer.chunk_scorer) is ka.BahdanauAttention
    assert layer.chunk_scorer.units == UNITS
    assert len(layer.trainable_weights) == 7
    kernels = (as_float64(s.key_dense.kernel) for s in (layer.scorer, layer.chunk_scorer))
    assert np.abs(np.subtract(*kernels)).max() > 0.1


def test_one_scorer_for_both():
    scorer = ka.LuongAttention()
    with pytest.raises(ValueError, match="Received: one layer for scorer and chunk_scorer"):
        ka.MoChA(scorer, chunk_scorer=scorer)


@pytest.mark.parametrize("chunk_size", [0, 2.5, None])
def test_chunk_size(chunk_size):
    with pytest.raises(ValueError, match=f"Received: chunk_size={chunk_size!r}"):
        ka.MoChA(ka.LuongAttention(), chunk_size=chunk_size)
