"""The Neural Turing Machine: its equations, and the ways to run it."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from keras_attention.layers.keep_mask import accept_masks
from tests.arrays import as_float64, assert_close

B, T, D, N, M, UNITS = 2, 5, 3, 11, 7, 13
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
CONTROLLERS = {
    "dense": lambda: keras.layers.Dense(UNITS, "tanh"),
    "lstm": lambda: keras.layers.LSTMCell(UNITS),
    "gru": lambda: keras.layers.GRUCell(UNITS),
    "stacked": lambda: keras.layers.StackedRNNCells(
        [keras.layers.LSTMCell(5), keras.layers.GRUCell(UNITS)]
    ),
}


def array(steps=T, batch=B):
    return np.random.default_rng(0).standard_normal((batch, steps, D)).astype("float32")


def built(controller="dense", read_heads=2, write_heads=3, dtype=None, **kwargs):
    """A layer with weights large enough for heads that move."""
    keras.utils.set_random_seed(3)
    cell = ka.NTMCell(
        CONTROLLERS[controller](), N, M, read_heads, write_heads, dtype=dtype, **kwargs
    )
    layer = accept_masks(keras.layers.RNN(cell, return_sequences=True, dtype=dtype))
    layer.build((None, None, D))
    generator = np.random.default_rng(7)
    for weight in layer.trainable_weights:
        noise = 0.5 * generator.standard_normal(weight.shape)
        weight.assign(weight + noise.astype("float32"))
    return layer


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def oracle(cell, inputs, reach=1):
    """One sequence, as the equations of the paper stand: `(T, output)` and `(T, heads, N)`."""
    w, b, v, c = (as_float64(x) for x in (*cell.controller.weights, *cell.interface.weights))
    memory, read = np.zeros((N, M)), np.zeros(cell.read_heads * M)
    heads = np.zeros((cell.heads, N))
    heads[:, 0] = 1
    size = M + 3 + 2 * reach + 1
    outputs, all_heads = [], []

    def place(order, last):
        key, (beta, gate, gamma), kernel = order[:M], order[M : M + 3], order[M + 3 :]
        beta, gate, gamma = np.log1p(np.exp(beta)), sigmoid(gate), 1 + np.log1p(np.exp(gamma))
        kernel = np.exp(kernel) / np.exp(kernel).sum()
        lengths = np.sqrt((memory**2).sum(1) + 1e-6) * np.sqrt((key**2).sum() + 1e-6)
        content = np.exp(beta * (memory @ key) / lengths)
        gated = gate * content / content.sum() + (1 - gate) * last
        moved = np.zeros(N)
        for i in range(N):
            for s in range(-reach, reach + 1):
                moved[i] += kernel[s + reach] * gated[(i - s) % N]
        return moved**gamma / (moved**gamma).sum()

    for x in inputs:
        h = np.tanh(np.concatenate([x, read]) @ w + b)
        orders = h @ v + c
        places = orders[: cell.heads * size].reshape(cell.heads, size)
        written = orders[cell.heads * size :].reshape(cell.write_heads, 2, M)
        writers = cell.write_heads
        heads[:writers] = [place(*pair) for pair in zip(places[:writers], heads, strict=False)]
        for i in range(writers):
            memory = memory * (1 - np.outer(heads[i], sigmoid(written[i, 0])))
        for i in range(writers):
            memory = memory + np.outer(heads[i], np.tanh(written[i, 1]))
        for i in range(writers, cell.heads):
            heads[i] = place(places[i], heads[i].copy())
        read = (heads[writers:] @ memory).reshape(-1)
        outputs.append(np.concatenate([h, read]))
        all_heads.append(heads.copy())
    return np.stack(outputs), np.stack(all_heads)


@pytest.mark.parametrize("reach", [1, 2])
def test_formula(reach):
    layer = built(shift_range=reach, return_weights=True)
    inputs = array()
    features, read, write = layer.cell.split(layer(inputs))
    for b in range(B):
        outputs, heads = oracle(layer.cell, inputs[b].astype("float64"), reach)
        assert_close(as_float64(features)[b], outputs, **CLOSE)
        assert_close(as_float64(write)[b], heads[:, :3], **CLOSE)
        assert_close(as_float64(read)[b], heads[:, 3:], **CLOSE)
    assert_close(as_float64(read).sum(-1), np.ones((B, T, 2)), rtol=1e-5)
    # The heads have left the first location, and differ.
    assert as_float64(write)[:, -1].argmax(-1).any()


@pytest.mark.parametrize("controller", CONTROLLERS)
def test_steps_equal_the_loop(controller):
    layer, inputs = built(controller), array()
    cell = layer.cell
    state = cell.get_initial_state(batch_size=B)
    assert [s.shape[-1] for s in state] == keras.tree.flatten(cell.state_size)
    expected = as_float64(layer(inputs))
    assert expected.shape == (B, T, cell.output_size)
    for t in range(T):
        output, state = cell(ops.convert_to_tensor(inputs[:, t]), state)
        assert_close(output, expected[:, t], **CLOSE)


def test_padding_changes_nothing():
    layer, inputs = built("lstm"), array()
    mask = np.array([[True] * 5, [True, False, True, True, False]])
    dirty = np.where(mask[..., None], inputs, np.nan).astype("float32")
    found = as_float64(layer(dirty, mask=ops.convert_to_tensor(mask)))
    assert_close(found[0], as_float64(layer(inputs))[0], **CLOSE)
    alone = as_float64(layer(inputs[1:, [0, 2, 3]]))[0]
    assert_close(found[1, [0, 2, 3]], alone, **CLOSE)


def test_symbolic_shapes_a_saved_file_and_a_saved_model(tmp_path):
    inputs = keras.Input((None, D), name="inputs")
    layer = built("stacked", return_weights=True)
    features, read, write = layer.cell.split(layer(inputs))
    assert tuple(read.shape) == (None, None, 2, N)
    model = keras.Model(inputs, {"features": features, "read": read, "write": write})
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    expected = model(array(7))
    for name, found in again(array(7)).items():
        assert_close(found, expected[name], rtol=1e-6, atol=1e-7)
    if ON_TENSORFLOW:
        import tensorflow as tf

        model.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
        serve = tf.saved_model.load(tmp_path / "saved").signatures["serving_default"]
        for shape in ((7, 2), (1, 3), (3, 1)):
            expected = model(array(*shape))
            for name, found in serve(inputs=tf.constant(array(*shape))).items():
                assert_close(found, expected[name], **CLOSE)


def test_parameters_of_the_copy_task():
    """100 hidden units and a memory of 128 x 20, as in the paper; see docs/memory.md."""
    cell = ka.NTMCell(keras.layers.Dense(100, "tanh"), locations=128, width=20)
    inputs = keras.Input((None, 9))
    outputs = keras.layers.Dense(8)(keras.layers.RNN(cell, return_sequences=True)(inputs))
    # (9 + 20) 100 + 100, then 100 (2 (20 + 1 + 1 + 1 + 3) + 40) + 92, then (100 + 20) 8 + 8
    assert keras.Model(inputs, outputs).count_params() == 3000 + 9292 + 968


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"controller": 3}, "controller=3"),
        ({"locations": 0}, "locations=0"),
        ({"write_heads": 1.5}, "write_heads=1.5"),
        ({"shift_range": 2, "locations": 4}, "shift_range=2, locations=4"),
    ],
)
def test_arguments_that_make_no_sense(kwargs, match):
    with pytest.raises(ValueError, match=f"Received: {match}"):
        ka.NTMCell(**{"controller": CONTROLLERS["dense"](), **kwargs})
    with pytest.raises(ValueError, match="return_weights=False"):
        built().cell.split(array())
