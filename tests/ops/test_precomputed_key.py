"""The additive score of a precomputed key, as a search that XLA compiles has it."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from keras_attention.models.recurrent.rnn_decoder import RNNDecoder
from keras_attention.ops import additive_scores
from keras_attention.ops.additive import precomputed_key
from keras_attention.ops.additive.precomputed_key import precompute_key
from tests.arrays import as_float64, assert_close, assert_equal
from tests.compiled import COMPILES, compiled
from tests.ops.test_additive import INPUTS, arrays_of, oracle, random


@pytest.fixture(autouse=True)
def nothing_is_little(monkeypatch):
    """Sizes at which the plain formula would be taken otherwise."""
    monkeypatch.setattr(precomputed_key, "LITTLE", 0)


def scores(query, key, vector):
    """Of one query after another in a loop, of a key that is precomputed before it."""

    def function(query, key, vector):
        prepared = precompute_key(key)
        assert isinstance(prepared, precomputed_key.PrecomputedKey) == COMPILES

        def body(step, total):
            one = additive_scores(ops.take(query, [step], axis=1), prepared, vector)
            return step + 1, ops.where(ops.arange(length)[:, None] == step, one, total)

        length = query.shape[1]
        total = ops.zeros((query.shape[0], length, key.shape[1]))
        return ops.while_loop(lambda step, _: step < length, body, (0, total))[1]

    return compiled(function)(*(ops.convert_to_tensor(x) for x in (query, key, vector)))


@pytest.mark.parametrize("name", INPUTS)
def test_as_exact_as_float64(name):
    *arrays, upstream = arrays_of(*INPUTS[name])
    expected = oracle(*arrays, upstream)[0]
    assert_close(scores(*arrays), expected, rtol=0, atol=2e-7 * np.abs(arrays[2]).sum())


@pytest.mark.parametrize("sizes", [(1, 2, 1, 8), (2, 5, 3, 1), (2, 3, 4, 7), (0, 3, 5, 11)])
def test_sizes(sizes):
    """Units that fill no group, one position, no example."""
    *arrays, upstream = arrays_of(random(2), random(2), sizes)
    assert_close(scores(*arrays), oracle(*arrays, upstream)[0], rtol=0, atol=1e-5)


def test_infinities_and_nan_have_the_effect_that_tanh_gives_them():
    query, key, vector, upstream = arrays_of(random(1), random(1))
    query[0, 2, 3], query[1, 5, 7], query[2, 1, 0] = np.inf, np.nan, -np.inf
    found = as_float64(scores(query, key, vector))
    expected = oracle(query, key, vector, upstream)[0]
    assert np.isnan(expected).sum() == key.shape[1]
    assert_equal(np.isnan(found), np.isnan(expected))
    assert_close(found, expected, rtol=1e-5, atol=1e-5)
    key[0, 1, 5], key[0, 7, 3] = -np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        expected = oracle(query, key, vector, upstream)[0]
    found = as_float64(scores(query, key, vector))
    assert_equal(np.isnan(found), np.isnan(expected))
    assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mean", [15, 25])
def test_a_vector_that_times_denominators_would_be_infinite(mean):
    query, key, vector, upstream = arrays_of(random(0.1, mean), random(0.1, 0.5))
    expected = oracle(query, key, vector * np.float32(1e33), upstream)[0]
    found = scores(query, key, vector * np.float32(1e33))
    assert_close(found, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(dtype):
    """e^2x leaves float16 at 5.5."""
    *arrays, upstream = [ops.cast(x, dtype) for x in arrays_of(random(9), random(9))]
    found = scores(*arrays)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    expected = oracle(*arrays, upstream)[0]
    assert_close(found, expected, rtol=0, atol=2e-7 * np.abs(as_float64(arrays[2])).sum())


def test_float64_stays_as_it_is():
    key = np.zeros((2, 3, 4), "float64")  # which a tensor of JAX is only if told to
    unchanged = []

    def function(x):
        unchanged.extend(precompute_key(k) is k for k in (key, ops.cast(x, "float32")))
        return x

    compiled(function)(ops.zeros((2, 3, 4)))
    assert unchanged == [True, not COMPILES]


@pytest.mark.parametrize("queries", [1, 5])
def test_a_search_settles_the_key_once(queries, monkeypatch):
    """And its steps find what they find without."""
    decoder = RNNDecoder(13, 8, 8, attention=ka.BahdanauAttention(8, normalize=True))
    generator = np.random.default_rng(0)
    memory, state = generator.standard_normal((2, 5, 6)), generator.standard_normal((2, 6))
    memory, state = memory.astype("float32"), state.astype("float32")
    decoder(np.zeros((2, 3), "int32"), memory, [[state]])
    token = np.arange(2 * queries, dtype="int32")

    def function(memory, state):
        prepared = decoder.prepare(memory)
        seen.append(isinstance(prepared[0], precomputed_key.PrecomputedKey))
        assert {x.shape[0] for x in keras.tree.flatten(prepared)} == {2}  # all is batch first
        state = [ops.repeat(x, queries, axis=0) for x in decoder.initial_state(prepared, [[state]])]
        logits, _, weights = decoder.step(token, state, prepared)
        return logits, weights

    seen: list = []
    found = compiled(function)(ops.convert_to_tensor(memory), ops.convert_to_tensor(state))
    assert seen == [COMPILES]
    monkeypatch.setattr(ka.BahdanauAttention, "precompute_key", lambda self, key: key)
    for one, wanted in zip(found, function(memory, state), strict=True):
        assert_close(one, wanted, rtol=1e-5, atol=1e-6)
    assert seen == [COMPILES, False]
