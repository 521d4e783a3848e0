"""The memory of sentences against its equations, and what padding and jitter change."""

import keras
import numpy as np
import pytest

import keras_attention as ka
from tests.arrays import as_float64, assert_close, assert_equal

V, D, HOPS, SIZE = 13, 5, 3, 4
# The second story has an empty sentence between others and one at its end; five sentences
# are one more than the memory holds.
STORY = np.array(
    [
        [[3, 7, 0], [4, 9, 2], [5, 0, 0], [2, 11, 8], [12, 7, 1]],
        [[3, 7, 1], [0, 0, 0], [5, 9, 0], [6, 10, 4], [0, 0, 0]],
    ],
    "int32",
)
QUESTION = np.array([[1, 3], [2, 0]], "int32")
AGES = np.array([[4, 3, 2, 1, 0], [2, -1, 1, 0, -1]])
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def built(tying="adjacent", **kwargs):
    keras.utils.set_random_seed(3)
    layer = ka.EndToEndMemory(V, D, HOPS, SIZE, tying, **kwargs)
    layer(STORY, QUESTION)
    generator = np.random.default_rng(7)
    for weight in layer.trainable_weights:
        weight.assign(generator.standard_normal(weight.shape).astype("float32"))
    return layer


def encode(table, words, positions):
    words = [w for w in words if w]
    total = np.zeros(D)
    for j, word in enumerate(words, 1):
        k = np.arange(1, D + 1)
        weight = (1 - j / len(words)) - k / D * (1 - 2 * j / len(words)) if positions else 1
        total += weight * table[word]
    return total


def oracle(layer, story, question, ages):
    """One example, as sections 2 and 4.1 of the paper have it."""
    adjacent = layer.tying == "adjacent"
    tables = np.split(as_float64(layer.embeddings), HOPS + 1 if adjacent else 2, axis=1)
    places = [np.zeros((SIZE, D))] * len(tables)
    if layer.temporal_encoding:
        places = np.split(as_float64(layer.places), len(tables), axis=1)
    asks = tables[0] if adjacent else as_float64(layer.question_table)
    seen = [i for i, age in enumerate(ages) if 0 <= age < SIZE]
    state = encode(asks, question, layer.position_encoding)
    all_weights = np.zeros((HOPS, len(story)))
    for hop in range(HOPS):
        finds, reads = (hop, hop + 1) if adjacent else (0, 1)

        def rows(number):
            return np.array(
                [
                    encode(tables[number], story[i], layer.position_encoding)
                    + places[number][ages[i]]
                    for i in seen
                ]
            )

        scores = rows(finds) @ state
        weights = np.exp(scores - scores.max())
        weights = weights / weights.sum()
        all_weights[hop, seen] = scores if as_float64(layer.linear) else weights
        carried = state if adjacent else state @ as_float64(layer.hop_kernel)
        state = carried + all_weights[hop, seen] @ rows(reads)
    answers = tables[-1] if adjacent else as_float64(layer.answer_table)
    return answers @ state, all_weights


@pytest.mark.parametrize("linear", [False, True], ids=["softmax", "linear"])
@pytest.mark.parametrize("encoded", [True, False], ids=["encoded", "bag"])
@pytest.mark.parametrize("tying", ["adjacent", "layer_wise"])
def test_formula(tying, encoded, linear):
    layer = built(tying, position_encoding=encoded, temporal_encoding=encoded)
    layer.linear.assign(float(linear))
    scores, weights = layer(STORY, QUESTION, return_attention_scores=True)
    for b in range(len(STORY)):
        expected, expected_weights = oracle(layer, STORY[b], QUESTION[b], AGES[b])
        assert_close(as_float64(scores)[b], expected, rtol=1e-3, atol=1e-3)
        assert_close(as_float64(weights)[b], expected_weights, rtol=1e-3, atol=1e-4)


def test_tying_is_seen_in_the_weights():
    tables = V * D
    adjacent = (HOPS + 1) * (tables + SIZE * D)
    assert built().count_params() - 1 == adjacent  # and one number for the linear start
    layer_wise = 2 * (tables + SIZE * D) + 2 * tables + D * D
    assert built("layer_wise").count_params() - 1 == layer_wise


def test_padding_changes_nothing():
    layer = built()
    scores, weights = layer(STORY, QUESTION, return_attention_scores=True)
    wide = np.pad(STORY, [(0, 0), (2, 1), (0, 2)])
    longer = np.pad(QUESTION, [(0, 0), (0, 3)])
    found, found_weights = layer(wide, longer, return_attention_scores=True)
    assert_close(found, scores, **CLOSE)
    assert_close(as_float64(found_weights)[:, :, 2:-1], weights, **CLOSE)
    assert not as_float64(found_weights)[:, :, [0, 1, -1]].any()
    assert not as_float64(weights)[1, :, [1, 4]].any()
    assert not as_float64(weights)[0, :, 0].any()  # older than the memory is long


def test_a_story_without_sentences():
    layer = built()
    scores, weights = layer(np.zeros_like(STORY), QUESTION, return_attention_scores=True)
    assert not as_float64(weights).any()
    question = encode(as_float64(layer.embeddings)[:, :D], QUESTION[0], True)
    answers = as_float64(layer.embeddings)[:, -D:]
    assert_close(as_float64(scores)[0], answers @ question, **CLOSE)


def test_jitter_moves_the_places_in_training_alone():
    layer = built(time_jitter=0.4, seed=5)
    expected = layer(STORY, QUESTION)
    assert_equal(layer(STORY, QUESTION, training=False), expected)
    draws = [as_float64(layer(STORY, QUESTION, training=True)) for _ in range(5)]
    assert len({draw.tobytes() for draw in draws}) > 2
    unmoved = built(temporal_encoding=False, time_jitter=0.4)
    unmoved.memory_size = 100  # so that no sentence drops out of the memory
    assert_close(unmoved(STORY, QUESTION, training=True), unmoved(STORY, QUESTION), **CLOSE)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_close(policy):
    layer, other = built(), built(dtype=policy)
    for one, values in zip(other.weights, layer.weights, strict=True):
        one.assign(values * 0.3)
        values.assign(values * 0.3)
    found, weights = other(STORY, QUESTION, return_attention_scores=True)
    expected, expected_weights = layer(STORY, QUESTION, return_attention_scores=True)
    assert keras.backend.standardize_dtype(found.dtype) == policy.removeprefix("mixed_")
    limit = 0.01 if policy == "mixed_float16" else 0.05
    assert_close(found, expected, atol=limit * np.abs(as_float64(expected)).max())
    assert_close(weights, expected_weights, atol=limit)


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"hops": 0}, "hops=0"),
        ({"tying": "none"}, "tying='none'"),
        ({"time_jitter": 1.0}, "time_jitter=1.0"),
    ],
)
def test_arguments_that_make_no_sense(kwargs, match):
    with pytest.raises(ValueError, match=f"Received: {match}"):
        ka.EndToEndMemory(V, **kwargs)


def test_inputs_of_another_rank():
    with pytest.raises(ValueError, match=r"story of rank 3, word numbers. Received: .*\(2, 2\)"):
        built()(QUESTION, QUESTION)
