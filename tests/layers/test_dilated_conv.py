import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from tests.arrays import as_float64, assert_close

B, T, D, FILTERS = 2, 13, 3, 5
SIZES = [  # kernel size, dilation, causal
    (1, 1, True),
    (2, 5, True),
    (3, 2, True),
    (3, 7, True),  # further back than the sequence is long
    (3, 2, False),
    (5, 1, False),
    (2, 3, False),
]


def built(kernel_size, dilation_rate, causal):
    keras.utils.set_random_seed(7)
    layer = ka.DilatedConv(FILTERS, kernel_size, dilation_rate, causal)
    layer.build((None, None, D))
    layer.convolution.bias.assign(np.arange(FILTERS) - 2.0)
    return layer


def sequence():
    return np.random.default_rng(3).standard_normal((B, T, D)).astype("float32")


def convolved(x, kernel, bias, dilation, first):
    """The formula, in float64: offsets `first`, `first + dilation`, ..."""
    y = np.zeros((*x.shape[:2], kernel.shape[-1])) + bias
    for t in range(x.shape[1]):
        for i, weight in enumerate(kernel):
            step = t + first + i * dilation
            if 0 <= step < x.shape[1]:
                y[:, t] += x[:, step] @ weight
    return y


@pytest.mark.parametrize(("kernel_size", "dilation", "causal"), SIZES)
def test_formula(kernel_size, dilation, causal):
    layer = built(kernel_size, dilation, causal)
    kernel, bias = as_float64(layer.convolution.kernel), as_float64(layer.convolution.bias)
    first = -(kernel_size - 1) * dilation if causal else -((kernel_size - 1) // 2) * dilation
    expected = convolved(sequence().astype("float64"), kernel, bias, dilation, first)
    assert_close(layer(sequence()), expected, rtol=1e-5, atol=1e-5)


def test_its_weights_are_those_of_keras():
    layer = built(3, 2, True)
    peer = keras.layers.Conv1D(FILTERS, 3, dilation_rate=2, padding="causal")
    peer.build((None, None, D))
    peer.set_weights(layer.get_weights())
    assert_close(layer(sequence()), peer(sequence()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kernel_size", "dilation", "causal"), SIZES)
def test_what_an_output_sees_is_as_stated(kernel_size, dilation, causal):
    layer = built(kernel_size, dilation, causal)
    others = np.repeat(sequence()[:1], T + 1, axis=0)
    others[np.arange(T), np.arange(T)] += 1
    y = as_float64(layer(others))
    steps, outputs = np.nonzero(np.abs(y[:-1] - y[-1]).max(axis=-1) > 1e-4)
    seen = set(zip(outputs.tolist(), steps.tolist(), strict=True))
    stated = {(t, t + o) for t in range(T) for o in layer.offsets if 0 <= t + o < T}
    assert seen == stated


@pytest.mark.parametrize(("kernel_size", "dilation", "causal"), SIZES[:4])
def test_step_by_step_it_is_the_whole(kernel_size, dilation, causal):
    layer, x = built(kernel_size, dilation, causal), sequence()
    expected, state = as_float64(layer(x)), layer.initial_state(B)
    lengths = np.array([T, 4])
    for t in range(T):
        shape = tuple(state.shape)
        y, state = layer.step(ops.convert_to_tensor(x[:, t]), state)
        assert_close(y, expected[:, t], rtol=1e-5, atol=1e-5)
        assert tuple(state.shape) == shape == (B, layer.span, D)
        if t + 1 in lengths:
            row = list(lengths).index(t + 1)
            outputs, after = layer.prepare(x, lengths)
            assert_close(outputs, expected)
            assert_close(after[row], state[row])


def test_what_is_not_causal_has_no_next_step():
    layer = built(3, 2, False)
    with pytest.raises(ValueError, match="causal=False"):
        layer.step(ops.ones((B, D)), layer.initial_state(B))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "filters=0"),
        ({"kernel_size": 2.0}, "kernel_size=2.0"),
        ({"dilation_rate": -1}, "dilation_rate=-1"),
    ],
)
def test_a_bad_argument_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ka.DilatedConv(**{"filters": 3, "kernel_size": 2, **arguments})


def test_a_sequence_has_rank_3():
    with pytest.raises(ValueError, match=r"rank 3.*x.shape=\(2, 3\)"):
        ka.DilatedConv(3, 2)(np.ones((2, 3), "float32"))
