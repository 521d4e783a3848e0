"""The additive score without the cube: as exact as float64 says, for every kind of input."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_attention.ops import additive_scores
from keras_attention.ops.additive import scores as additive
from tests.arrays import as_float64, assert_close, assert_equal

B, TQ, TV, UNITS = 3, 19, 17, 37
TENSORFLOW = keras.backend.backend() == "tensorflow"
MODES = ["eager", "unknown", "xla"] if TENSORFLOW else ["eager"]


@pytest.fixture(autouse=True)
def nothing_is_little(monkeypatch):
    """Sizes at which the plain formula would be taken otherwise."""
    monkeypatch.setattr(additive, "SMALL", 0)


def oracle(query, key, vector, upstream):
    """Scores, and gradients by query, key and vector."""
    query, key, vector, upstream = map(as_float64, (query, key, vector, upstream))
    total = query[:, :, None] + key[:, None]
    tangents, decay = np.tanh(total), np.exp(-2 * np.abs(total))
    slopes = vector * 4 * decay / (1 + decay) ** 2
    return (
        np.einsum("bqvu,u->bqv", tangents, vector),
        np.einsum("bqvu,bqv->bqu", slopes, upstream),
        np.einsum("bqvu,bqv->bvu", slopes, upstream),
        np.einsum("bqvu,bqv->u", tangents, upstream),
    )


_functions: dict = {}


def kernel(arrays, mode="eager"):
    """What `oracle` returns, from the product."""
    arrays = [ops.convert_to_tensor(x) for x in arrays]
    if keras.backend.backend() == "jax":
        import jax

        scores, pullback = jax.vjp(additive_scores, *arrays[:3])
        return scores, *pullback(arrays[3])
    if keras.backend.backend() == "torch":
        inputs = [x.detach().clone().requires_grad_() for x in arrays[:3]]
        scores = additive_scores(*inputs)
        scores.backward(arrays[3])
        return scores.detach(), *(x.grad for x in inputs)
    import tensorflow as tf

    def function(query, key, vector, upstream):
        inputs = [query, key, vector]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            scores = additive_scores(*inputs)
        return scores, *tape.gradient(scores, inputs, upstream)

    if mode == "eager":
        return function(*arrays)
    if mode == "function":
        return tf.function(function)(*arrays)
    if mode not in _functions:  # compiled once: the sizes are known at the call
        units = [tf.TensorSpec([None, None, UNITS])] * 2 + [tf.TensorSpec([UNITS])]
        signature = [*units, tf.TensorSpec([None, None, None])]
        _functions[mode] = tf.function(
            function, jit_compile=mode == "xla", input_signature=signature
        )
    return _functions[mode](*arrays)


def random(scale, mean=0.0):
    return lambda generator, shape: mean + scale * generator.standard_normal(shape)


def arrays_of(query, key, sizes=(B, TQ, TV, UNITS), seed=0):
    batch, query_length, value_length, units = sizes
    generator = np.random.default_rng(seed)
    return [
        x.astype("float32")
        for x in (
            query(generator, (batch, query_length, units)),
            key(generator, (batch, value_length, units)),
            generator.standard_normal(units),
            generator.standard_normal((batch, query_length, value_length)) + 0.5,
        )
    ]


INPUTS = {
    "tiny": (random(1e-3), random(1e-3)),
    "usual": (random(1), random(1)),
    "wide": (random(3), random(3)),
    "opposite": (random(0.1, 7.5), random(0.1, -7.5)),
    "opposite, beyond the fast form": (random(0.1, 30), random(0.1, -30)),
    "saturated": (random(0.1, 6), random(0.1, 6)),
    "one outlier": (lambda g, s: np.where(g.random(s) < 0.01, 90, g.standard_normal(s)), random(1)),
    "20": (random(20), random(20)),
    "huge": (random(1e4), random(1e4)),
    "huge, opposite": (random(1, 1e4), random(1, -1e4)),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", INPUTS)
def test_as_exact_as_float64(name, mode):
    arrays = arrays_of(*INPUTS[name])
    found, expected = kernel(arrays, mode), oracle(*arrays)
    total = np.abs(arrays[2]).sum()
    assert_close(found[0], expected[0], rtol=0, atol=2e-7 * total)
    for gradient, wanted in zip(found[1:], expected[1:], strict=True):
        assert_close(gradient, wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())


# Lengths that fill no block, sizes of 1, more units than one block or slab has, nothing at all.
SIZES = [(1, 2, 1, 8), (2, 31, 1, 9), (1, 3, 67, 67), (2, 33, 16, 130), (5, 2, 3, 11)]
SIZES += [(0, 3, 5, 11), (2, 0, 5, 11), (2, 3, 0, 11)]
# More queries than a beam has: TensorFlow computes few of them in another way.
SIZES += [(1, 11, 67, 67), (2, 11, 0, 11)]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_sizes(sizes, scale):
    arrays = arrays_of(random(scale), random(scale), sizes)
    for gradient, wanted in zip(kernel(arrays, "function"), oracle(*arrays), strict=True):
        assert_close(gradient, wanted, rtol=0, atol=1e-6 * np.abs(wanted).max(initial=1))


@pytest.mark.parametrize("mode", MODES)
def test_infinities_and_nan_have_the_effect_that_tanh_gives_them(mode):
    query, key, vector, upstream = arrays_of(random(1), random(1))
    query[0, 2, 3], query[1, 5, 7] = np.inf, np.nan
    key[0, 1, 5], key[0, 7, 3] = -np.inf, -np.inf  # the latter meets the infinity of the query
    found = [as_float64(x) for x in kernel([query, key, vector, upstream], mode)]
    with np.errstate(invalid="ignore"):
        expected = oracle(query, key, vector, upstream)
    assert np.isnan(expected[0][0, 2, 7]) and np.isnan(expected[0]).sum() == 1 + TV
    for one, wanted in zip(found, expected, strict=True):
        assert_equal(np.isnan(one), np.isnan(wanted))
        assert_close(one, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_gradients_where_all_is_saturated(mode):
    """Neither 0 nor NaN: right, as far as `q + k` can be told in float32."""
    arrays = arrays_of(random(0.1, 12), random(0.1, 13))
    found, expected = kernel(arrays, mode), oracle(*arrays)
    for gradient, wanted in zip(found[1:3], expected[1:3], strict=True):
        assert 0 < np.abs(wanted).max() < 1e-17
        assert_close(gradient, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("mode", MODES)
def test_factors_that_overflow_in_a_product(mode):
    """A vector, or a gradient of the scores, that times a denominator would be infinite."""
    query, key, vector, upstream = arrays_of(random(0.1, 9), random(0.1, 0.5))
    arrays = query, key, vector * np.float32(1e33), upstream
    found, expected = as_float64(kernel(arrays, mode)[0]), oracle(*arrays)[0]
    assert_close(found, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    arrays = query, key, vector, upstream * np.float32(1e33)
    found, expected = as_float64(kernel(arrays, mode)[1]), oracle(*arrays)[1]
    assert_close(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(dtype):
    """e^2x leaves float16 at 5.5."""
    arrays = [ops.cast(ops.convert_to_tensor(x), dtype) for x in arrays_of(random(9), random(9))]
    scores = additive_scores(*arrays[:3])
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
    expected = oracle(*arrays)[0]
    assert_close(scores, expected, rtol=0, atol=2e-7 * np.abs(as_float64(arrays[2])).sum())


def test_second_order_gradients():
    """Of the gradient by query and key, by differences of it."""
    arrays = arrays_of(random(1), random(1), (1, 3, 2, 11))
    query, key, vector, upstream = (ops.convert_to_tensor(x) for x in arrays)
    if keras.backend.backend() == "torch":
        import torch

        query = query.clone().requires_grad_()
        (first,) = torch.autograd.grad(
            additive_scores(query, key, vector), query, upstream, create_graph=True
        )
        (found,) = torch.autograd.grad(first.square().sum(), query)
    elif keras.backend.backend() == "jax":
        import jax

        def loss(query):
            pullback = jax.vjp(lambda q: additive_scores(q, key, vector), query)[1]
            return ops.sum(ops.square(pullback(upstream)[0]))

        found = jax.grad(loss)(query)
    else:
        import tensorflow as tf

        with tf.GradientTape() as outer:
            outer.watch(query)
            with tf.GradientTape() as inner:
                inner.watch(query)
                scores = additive_scores(query, key, vector)
            value = tf.reduce_sum(tf.square(inner.gradient(scores, query, upstream)))
        found = outer.gradient(value, query)
    step = 1e-5
    expected = np.zeros(query.shape)
    for index in np.ndindex(*query.shape):
        sides = []
        for sign in (1, -1):
            moved = arrays[0].astype("float64")
            moved[index] += sign * step
            sides.append(np.sum(oracle(moved, *arrays[1:])[1] ** 2))
        expected[index] = (sides[0] - sides[1]) / (2 * step)
    assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_little_work_takes_the_plain_formula(monkeypatch):
    """A decoder's step, a few units, a small cube: none of the machinery."""
    plain = []
    monkeypatch.setattr(
        additive, "plain_additive_scores", lambda *arrays: plain.append(arrays[0].shape)
    )
    for sizes in [(64, 1, 50, 256), (8, 99, 99, 2)]:
        additive_scores(*arrays_of(random(1), random(1), sizes)[:3])
    assert len(plain) == 2
    additive_scores(*arrays_of(random(1), random(1))[:3])
    assert len(plain) == 2
    monkeypatch.setattr(additive, "SMALL", B * TQ * TV * UNITS)
    additive_scores(*arrays_of(random(1), random(1))[:3])
    assert len(plain) == 3
