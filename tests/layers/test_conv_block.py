"""Blocks around a convolution: formulas, receptive fields, and step by step."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from keras_attention.layers.convolution.conv_block import stacked_offsets
from tests.arrays import as_float64, assert_close
from tests.layers.test_dilated_conv import convolved

B, T, D, UNITS, SKIP, CONDITION = 2, 19, 5, 3, 7, 11

BLOCKS = {
    "gated": lambda **a: ka.GatedConvBlock(UNITS, **a),
    "gated_skip": lambda **a: ka.GatedConvBlock(UNITS, skip_units=SKIP, **a),
    "relu": lambda **a: ka.ByteNetBlock(UNITS, **a),
    "multiplicative": lambda **a: ka.ByteNetBlock(UNITS, kind="multiplicative", **a),
    "glu": lambda **a: ka.ConvGluBlock(D, **a),
}


@pytest.fixture(params=BLOCKS)
def make(request):
    return BLOCKS[request.param]


def randomized(layer, *shapes):
    layer.build(*shapes)
    generator = np.random.default_rng(5)
    for weight in layer.weights:
        weight.assign(generator.standard_normal(weight.shape).astype("float32"))
    return layer


def block(make, **arguments):
    return randomized(make(**arguments), (None, None, D))


def sequence(steps=T):
    return np.random.default_rng(3).standard_normal((B, steps, D)).astype("float32")


def first(y):
    return y[0] if isinstance(y, tuple) else y


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def norm(x, layer):
    x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-5)
    return x * as_float64(layer.gamma) + as_float64(layer.beta)


def dense(x, layer):
    return x @ as_float64(layer.kernel) + (as_float64(layer.bias) if layer.use_bias else 0)


def convolution(x, layer):
    kernel, bias = as_float64(layer.convolution.kernel), as_float64(layer.convolution.bias)
    return convolved(x, kernel, bias, layer.dilation_rate, layer.offsets[0])


@pytest.mark.parametrize("steps", [(), (T,)])
def test_the_formula_of_wavenet(steps):
    shape = (B, *steps, CONDITION)
    layer = randomized(BLOCKS["gated_skip"](kernel_size=2, dilation_rate=3), (B, T, D), shape)
    x, h = sequence(), np.random.default_rng(2).standard_normal(shape).astype("float32")
    gates = convolution(x.astype("float64"), layer.convolution)
    gates += dense(h.reshape((B, -1, CONDITION)).astype("float64"), layer.conditioning)
    z = np.tanh(gates[..., :UNITS]) * sigmoid(gates[..., UNITS:])
    output, skip = layer(x, condition=h)
    assert_close(output, x + dense(z, layer.residual_dense), rtol=1e-4, atol=1e-4)
    assert_close(skip, dense(z, layer.skip_dense), rtol=1e-4, atol=1e-4)
    state = layer.initial_state(B)
    for t in range(3):
        now = h[:, t] if steps else h
        (step, skipped), state = layer.step(ops.convert_to_tensor(x[:, t]), state, now)
        assert_close(step, output[:, t], rtol=1e-4, atol=1e-4)
        assert_close(skipped, skip[:, t], rtol=1e-4, atol=1e-4)


def test_what_stands_in_the_padding_of_a_condition_reaches_nothing():
    shape = (B, T, CONDITION)
    layer = randomized(BLOCKS["gated_skip"](), (B, T, D), shape)
    mask = np.arange(T) < np.array([[T], [4]])
    h = np.random.default_rng(2).standard_normal(shape).astype("float32")
    dirty = np.where(mask[..., None], h, np.nan).astype("float32")
    expected = layer(sequence(), condition=h, x_mask=mask)
    for found, wanted in zip(
        layer(sequence(), condition=dirty, x_mask=mask), expected, strict=True
    ):
        assert_close(found, wanted)
        np.testing.assert_array_equal(as_float64(found)[~mask], 0)


def test_a_condition_needs_its_weights():
    layer = block(BLOCKS["gated"])
    with pytest.raises(ValueError, match=r"no condition.*condition.shape=\(2, 11\)"):
        layer(sequence(), condition=np.ones((B, CONDITION), "float32"))


@pytest.mark.parametrize("kind", ["relu", "multiplicative"])
def test_the_formula_of_bytenet(kind):
    layer, x = block(BLOCKS[kind], dilation_rate=2), sequence().astype("float64")
    h = np.maximum(norm(x, layer.input_norm), 0)
    h = np.maximum(norm(dense(h, layer.reduce), layer.reduced_norm), 0)
    y = convolution(h, layer.convolution)
    norms = layer.convolved_norms
    if kind == "relu":
        y = np.maximum(norm(y, norms[0]), 0)
    else:
        parts = [norm(y[..., i * UNITS : (i + 1) * UNITS], norms[i]) for i in range(4)]
        g1, g2, g3 = (sigmoid(part) for part in parts[:3])
        y = g1 * np.tanh(g2 * h + g3 * np.tanh(parts[3]))
    assert_close(layer(sequence()), x + dense(y, layer.expand), rtol=1e-4, atol=1e-4)


def test_the_formula_of_convs2s():
    layer, x = block(BLOCKS["glu"], causal=False), sequence().astype("float64")
    y = convolution(x, layer.convolution)
    expected = np.sqrt(0.5) * (x + y[..., :D] * sigmoid(y[..., D:]))
    assert_close(layer(sequence()), expected, rtol=1e-4, atol=1e-4)


def test_step_by_step_a_block_is_the_whole(make):
    layer, x = block(make, kernel_size=3, dilation_rate=2), sequence(7)
    expected, after = layer.prepare(ops.convert_to_tensor(x), ops.convert_to_tensor([7, 7]))
    state = layer.initial_state(B)
    for t in range(7):
        y, state = layer.step(ops.convert_to_tensor(x[:, t]), state)
        for found, wanted in zip(keras.tree.flatten(y), keras.tree.flatten(expected), strict=True):
            assert_close(found, wanted[:, t], rtol=1e-4, atol=1e-4)
    assert_close(after, state, rtol=1e-4, atol=1e-4)


def test_padding_on_the_left_is_as_if_the_sequence_had_not_begun(make):
    layer, x = block(make, kernel_size=3, dilation_rate=2), sequence(7)
    wide = np.concatenate([np.full((B, 4, D), np.nan, "float32"), x], axis=1)
    found = first(layer(wide, mask=np.arange(11)[None] >= np.array([[4], [4]])))
    assert_close(found[:, 4:], first(layer(x)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("dilations", [(1, 2, 4), (3, 3)])
def test_the_receptive_field_of_a_stack(make, dilations, causal):
    """The inputs that change an output are those that the stack states: no more and no fewer."""
    blocks = [block(make, kernel_size=3, dilation_rate=d, causal=causal) for d in dilations]

    def stack(x):
        for layer in blocks:
            x = first(layer(x))
        return as_float64(x)

    offsets = stacked_offsets(blocks)
    field = 1 + sum(2 * d for d in dilations)
    assert field == 1 + sum(layer.receptive_field - 1 for layer in blocks)
    assert offsets[-1] - offsets[0] + 1 == field
    assert (offsets[-1] == 0) is causal
    # Dilations that double leave nothing out; equal ones do.
    assert len(offsets) == (field if dilations == (1, 2, 4) else field // 3 + 1)
    position = T - 1 if causal else T // 2
    # Many sequences, as in one of them a relu may hide a step; and as often, each step another.
    generator = np.random.default_rng(11)
    x = generator.standard_normal((1, 53, T, D)).astype("float32")
    others = np.repeat(x, T, axis=0)
    for step in range(T):
        others[step, :, step] = generator.standard_normal((53, D))
    y = stack(np.concatenate([x, others]).reshape((-1, T, D)))[:, position]
    y = y.reshape((T + 1, 53, D))
    changes = np.abs(y[1:] - y[0]).max(axis=(1, 2)) > 1e-5
    seen = np.flatnonzero(changes) - position
    assert seen.tolist() == [o for o in offsets if 0 <= position + o < T]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ka.GatedConvBlock(0), "units=0"),
        (lambda: ka.GatedConvBlock(3, skip_units=0), "skip_units=0"),
        (lambda: ka.ByteNetBlock(3, kind="gelu"), "kind='gelu'"),
        (lambda: ka.ByteNetBlock(3, kernel_size=0), "kernel_size=0"),
        (lambda: ka.ConvGluBlock(3)(np.ones((2, 3, 5), "float32")), r"x.shape=\(2, 3, 5\)"),
        (lambda: ka.GatedConvBlock(3)(np.ones((2, 3), "float32")), "rank 3"),
        (lambda: ka.ByteNetBlock(3)(np.ones((2, 3), "float32")), "rank 3"),
    ],
)
def test_a_bad_argument_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
