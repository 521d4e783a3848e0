"""Positions, in all five forms, against NumPy and published numbers."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from keras_attention.ops.positions import alibi_slopes, relative_buckets
from tests.arrays import as_float64, assert_close

B, T, D, H = 2, 7, 6, 3
START = np.array([5, 11])


def inputs(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def waves(positions, features):
    """By the formulas of the paper's section 3.5, one number at a time."""
    found = np.zeros((len(positions), features))
    for row, p in zip(found, positions, strict=True):
        for i in range(features):
            angle = p / 10000 ** (2 * (i // 2) / features)
            row[i] = np.cos(angle) if i % 2 else np.sin(angle)
    return found


@pytest.mark.parametrize("features", [D, 5])
def test_sinusoids(features):
    x = inputs(B, T, features)
    assert_close(ka.SinusoidalPositions()(x), x + waves(range(T), features), atol=1e-5)
    wanted = np.stack([waves(range(s, s + T), features) for s in START])
    assert_close(ka.SinusoidalPositions()(x, start=START), x + wanted, atol=1e-5)


def test_learned():
    layer, x = ka.LearnedPositions(13), inputs(B, T, D)
    layer.build(x.shape)
    vectors = as_float64(layer.vectors)
    assert len(np.unique(vectors)) == 13 * D
    assert_close(layer(x), x + vectors[:T], atol=1e-6)
    assert_close(layer(x, start=ops.convert_to_tensor(3)), x + vectors[3 : 3 + T], atol=1e-6)
    wanted = vectors[np.minimum(START[:, None] + np.arange(T), 12)]  # beyond: that of the last
    assert_close(layer(x, start=START), x + wanted, atol=1e-6)
    with pytest.raises(ValueError, match=r"at most max_length=13 steps.*\(2, 17, 6\)"):
        layer(inputs(B, 17, D))


@pytest.mark.parametrize("layer", [ka.SinusoidalPositions(), ka.LearnedPositions(13)])
def test_the_mask_travels_on(layer):
    x = keras.layers.Embedding(5, D, mask_zero=True)(np.array([[1, 2, 0]]))
    mask = layer(x)._keras_mask
    np.testing.assert_array_equal(ops.convert_to_numpy(mask), [[True, True, False]])


def turned(x, positions, pairs):
    """As complex numbers: `z exp(j p base^(-2i/D))`."""
    first = [i if pairs == "halves" else 2 * i for i in range(D // 2)]
    second = [i + D // 2 if pairs == "halves" else 2 * i + 1 for i in range(D // 2)]
    angles = positions[..., None] * 10000.0 ** (-2 * np.arange(D // 2) / D)
    z = (x[..., first] + 1j * x[..., second]) * np.exp(1j * angles)
    found = np.zeros_like(x, dtype="float64")
    found[..., first], found[..., second] = z.real, z.imag
    return found


@pytest.mark.parametrize("pairs", ["halves", "adjacent"])
def test_rotary(pairs):
    layer, x = ka.RotaryPositions(pairs=pairs), inputs(B, H, T, D)
    assert_close(layer(x), turned(x.astype("float64"), np.arange(T), pairs), atol=1e-5)
    positions = START[:, None] + np.arange(T)
    wanted = turned(x.astype("float64"), positions[:, None], pairs)
    assert_close(layer(x, ops.convert_to_tensor(positions)), wanted, atol=1e-5)
    assert_close(layer(x[:, 0], ops.convert_to_tensor(positions)), wanted[:, 0], atol=1e-5)


def test_scores_of_turned_vectors_depend_on_the_distance_alone():
    query, key = inputs(2, 1, D)
    layer = ka.RotaryPositions()
    query = as_float64(layer(np.tile(query, (T, 1))[None]))[0]
    key = as_float64(layer(np.tile(key, (T, 1))[None]))[0]
    scores = query @ key.T
    for distance in range(1 - T, T):
        same = np.diagonal(scores, distance)
        assert_close(same, np.full_like(same, same[0]), atol=1e-5)
    assert len(np.unique(scores[0].round(4))) == T


def test_alibi_has_the_published_slopes():
    assert alibi_slopes(8) == [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256]
    np.testing.assert_allclose(alibi_slopes(16), 2.0 ** -np.arange(0.5, 8.5, 0.5))
    # 12 heads, the example of the paper's code: those of 8, then every second of 16.
    np.testing.assert_allclose(alibi_slopes(12)[8:], 2.0 ** -np.array([0.5, 1.5, 2.5, 3.5]))


def test_alibi():
    found = ka.AlibiBias(2)(ops.arange(3), ops.arange(5))
    distance = np.array([[0, 1, 2, 3, 4], [1, 0, 1, 2, 3], [2, 1, 0, 1, 2]])
    assert_close(found, [-distance / 16, -distance / 256], rtol=1e-6)
    found = ka.AlibiBias(2)(ops.convert_to_tensor([[2], [1], [0]]), ops.arange(5))
    assert_close(found[:, 0, 0], -distance[::-1] / 16, rtol=1e-6)


# Where T5's buckets begin with its 32 buckets and its distance of 128.
TWO_SIDED = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91]
ONE_SIDED = [*range(17), 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113]


def test_relative_buckets_are_those_of_t5():
    near = np.arange(129)
    wanted = np.searchsorted(TWO_SIDED, near, side="right") - 1
    found = relative_buckets(32, 128)
    np.testing.assert_array_equal(found[128::-1], wanted)
    np.testing.assert_array_equal(found[129:], wanted[1:] + 16)
    wanted = np.searchsorted(ONE_SIDED, near, side="right") - 1
    found = relative_buckets(32, 128, bidirectional=False)
    np.testing.assert_array_equal(found[128::-1], wanted)
    assert not found[129:].any()


@pytest.mark.parametrize("bidirectional", [True, False])
def test_relative_bias(bidirectional):
    layer = ka.RelativeBias(H, 12, 17, bidirectional)
    queries, values = np.array([[0, 30], [7, 2]]), np.arange(31)
    found = layer(ops.convert_to_tensor(queries), ops.convert_to_tensor(values))
    biases, buckets = as_float64(layer.biases), relative_buckets(12, 17, bidirectional)
    for b, i, j in np.ndindex(2, 2, 31):
        distance = np.clip(values[j] - queries[b, i], -17, 17)
        assert_close(found[b, :, i, j], biases[buckets[distance + 17]], rtol=1e-6)
    assert_close(layer(queries[0], values), found[0], rtol=1e-6)
    # On the far side there is no distance of 0, whose bucket T5 keeps all the same.
    assert set(buckets) == set(range(12)) - ({6} if bidirectional else set())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ka.SinusoidalPositions(base=1), "base=1"),
        (lambda: ka.RotaryPositions(base=0), "base=0"),
        (lambda: ka.RotaryPositions(pairs="thirds"), "pairs='thirds'"),
        (lambda: ka.RotaryPositions()(inputs(1, 2, 5)), r"\(1, 2, 5\)"),
        (lambda: ka.LearnedPositions(0), "max_length=0"),
        (lambda: ka.AlibiBias(0), "num_heads=0"),
        (lambda: ka.RelativeBias(3, 3), "num_buckets=3"),
        (lambda: ka.RelativeBias(3, 32, 8), "max_distance=8"),
    ],
)
def test_arguments_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="float64 is TensorFlow's alone")
@pytest.mark.parametrize("pairs", ["halves", "adjacent"])
def test_float64(pairs):
    """At far positions, where angles in float32 are wrong in the fifth place."""
    x, positions = inputs(B, T, D).astype("float64"), np.arange(T) + 10**6
    rotated = ka.RotaryPositions(pairs=pairs, dtype="float64")(x, positions)
    assert_close(rotated, turned(x, positions, pairs), atol=1e-9)
    start = ops.convert_to_tensor(10**6)
    wanted = x + waves(positions, D)
    assert_close(ka.SinusoidalPositions(dtype="float64")(x, start=start), wanted, atol=1e-9)
    bias = as_float64(ka.AlibiBias(H, dtype="float64")(positions, positions))
    slope = 2 ** -(8 * 1 / 4)  # what 3 heads take from the slopes of 4
    assert_close(bias[2, 0, 6], -6 * slope, atol=1e-15)
    bias = ka.RelativeBias(H, dtype="float64")(positions, positions)
    assert keras.backend.standardize_dtype(bias.dtype) == "float64"
