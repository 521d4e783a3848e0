"""Any cell with any attention: the formula, the ways to run it, and what is kept where."""

import json

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from tests.arrays import as_float64, assert_close, assert_equal
from tests.gradients import gradients

B, T, TV, DX, DM, UNITS, SIZE = 2, 3, 5, 7, 11, 13, 17
MASK = np.array([[True, False, True, True, False], [True, True, True, True, False]])
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"

CELLS = {
    "gru": lambda **kw: keras.layers.GRUCell(UNITS, **kw),
    "lstm": lambda **kw: keras.layers.LSTMCell(UNITS, **kw),
    "stacked": lambda **kw: keras.layers.StackedRNNCells(
        [keras.layers.LSTMCell(19, **kw), keras.layers.GRUCell(UNITS, **kw)]
    ),
}
ATTENTIONS = {
    "bahdanau": lambda: ka.BahdanauAttention(SIZE),
    "coverage": lambda: ka.CoverageAttention(ka.LuongAttention("general")),
    "local": lambda: ka.LocalAttention(ka.BahdanauAttention(SIZE), 2, position="monotonic"),
    "heads": lambda: ka.MultiHeadCrossAttention(2, 3),
    "two": lambda: [
        ka.MonotonicAttention(ka.BahdanauAttention(SIZE)),
        ka.LuongAttention("general"),
    ],
}
# Of a file and of a config it is read alone which cell and which attention: each of them once.
SAVED = [("gru", "bahdanau"), ("lstm", "coverage"), ("stacked", "local")]
SAVED += [("lstm", "heads"), ("stacked", "two")]


def arrays(steps=T, length=TV):
    generator = np.random.default_rng(0)
    inputs, memory = (
        generator.standard_normal((B, steps, DX)),
        generator.standard_normal((B, length, DM)),
    )
    return inputs.astype("float32"), memory.astype("float32")


def built(cell="gru", attention="bahdanau", **kwargs):
    keras.utils.set_random_seed(3)
    made = ka.AttentionCell(CELLS[cell](), ATTENTIONS[attention](), **kwargs)
    made(*arrays())
    return made


def gru(cell, x, h):
    """Keras' GRUCell with `reset_after=True`, in NumPy."""
    w, u, (b_in, b_rec) = (as_float64(weight) for weight in cell.weights)
    parts_x = np.split(x @ w + b_in, 3, axis=-1)
    parts_h = np.split(h @ u + b_rec, 3, axis=-1)
    z, r = (1 / (1 + np.exp(-(parts_x[i] + parts_h[i]))) for i in (0, 1))
    return z * h + (1 - z) * np.tanh(parts_x[2] + r * parts_h[2])


@pytest.mark.parametrize("size", [None, SIZE])
@pytest.mark.parametrize("output", ["attention", "cell"])
@pytest.mark.parametrize("cell_input", ["concat", "input"])
def test_formula(size, output, cell_input):
    """Input feeding step by step: the cell, then attention by its output, then the layer."""
    layer = built(
        attention_layer_size=size,
        attention_activation="tanh" if size else None,
        output=output,
        cell_input=cell_input,
    )
    attention, (inputs, memory) = layer.attentions[0], arrays()
    w, u = (as_float64(d.kernel) for d in (attention.query_dense, attention.key_dense))
    v = as_float64(attention.attention_v)
    h, read = np.zeros((B, UNITS)), np.zeros((B, size or DM))
    expected, expected_weights = [], []
    for t in range(T):
        x = inputs[:, t].astype("float64")
        h = gru(layer.cell, np.concatenate([x, read], -1) if cell_input == "concat" else x, h)
        scores = np.tanh((h @ w)[:, None] + memory @ u) @ v
        scores = np.where(MASK, scores, -np.inf)
        weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        read = np.einsum("bs,bsd->bd", weights, memory)
        if size:
            read = np.tanh(
                np.concatenate([h, read], -1) @ as_float64(layer.attention_layers[0].kernel)
            )
        expected.append(read if output == "attention" else h)
        expected_weights.append(weights)
    found, weights = layer(inputs, memory, MASK, return_attention_scores=True)
    assert_close(found, np.stack(expected, 1), **CLOSE)
    assert_close(weights, np.stack(expected_weights, 1), **CLOSE)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_steps_equal_the_loop(cell, attention):
    layer = built(cell, attention, attention_layer_size=SIZE)
    inputs, memory = arrays()
    outputs, weights, last = layer(
        inputs, memory, MASK, return_attention_scores=True, return_state=True
    )
    prepared = layer.prepare(ops.convert_to_tensor(memory), ops.convert_to_tensor(MASK))
    state = layer.initial_state(prepared)
    for t in range(T):
        output, state, now = layer.step(ops.convert_to_tensor(inputs[:, t]), state, prepared)
        assert_close(output, as_float64(outputs)[:, t], **CLOSE)
        for one, all_steps in zip(
            now if layer.is_list else [now], weights if layer.is_list else [weights], strict=True
        ):
            assert_close(one, as_float64(all_steps)[:, t], **CLOSE)
            assert (as_float64(one)[~MASK] == 0).all()
    found, wanted = keras.tree.flatten(last), keras.tree.flatten(state)
    for one, other in zip(found, wanted, strict=True):
        assert_close(one, other, **CLOSE)


@pytest.mark.parametrize(("cell", "attention"), SAVED)
def test_symbolic_shapes_and_a_saved_file(cell, attention, tmp_path):
    inputs = keras.Input((None, DX), name="inputs"), keras.Input((None, DM), name="memory")
    mask = keras.Input((None,), dtype="bool", name="mask")
    layer, n = built(cell, attention), 1 + (attention == "two")
    outputs, weights = layer(*inputs, mask, return_attention_scores=True)
    assert tuple(outputs.shape) == (None, None, layer.features_dim)
    model = keras.Model([*inputs, mask], keras.tree.flatten((outputs, weights)))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    given = [*arrays(2, 7), np.ones((B, 7), bool)]
    for one, other in zip(loaded(given), model(given), strict=True):
        assert_close(one, other, rtol=1e-5, atol=1e-6)
    config = ka.AttentionCell(CELLS[cell](), ATTENTIONS[attention](), [SIZE] * n).get_config()
    copy = ka.AttentionCell.from_config(json.loads(json.dumps(config)))
    assert copy.get_config() == config


@pytest.mark.skipif(not ON_TENSORFLOW, reason="a SavedModel is TensorFlow's")
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_saved_model(attention, tmp_path):
    import tensorflow as tf

    inputs = keras.Input((None, DX), name="inputs"), keras.Input((None, DM), name="memory")
    model = keras.Model(inputs, built("lstm", attention)(*inputs))
    model.export(tmp_path, format="tf_saved_model", verbose=False)
    loaded = tf.saved_model.load(tmp_path)
    for steps, length in ((3, 5), (1, 7), (5, 1)):
        given = tuple(x[:1] for x in arrays(steps, length))
        assert_close(loaded.serve(given), model(given), **CLOSE)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="no XLA")
def test_compiled_training_step():
    """`fit`, compiled by XLA for a known batch, reaches every weight."""
    layer = built("lstm", "coverage", attention_layer_size=SIZE)
    inputs = keras.Input((T, DX)), keras.Input((TV, DM))
    model = keras.Model(inputs, layer(*inputs))
    model.compile("adam", "mse", jit_compile=True)
    before = [as_float64(w) for w in model.trainable_weights]
    target = np.ones((B, T, layer.features_dim))
    if ON_TENSORFLOW:  # which compiles gradients of loops only for shapes that are known
        import tensorflow as tf

        batch = tf.data.Dataset.from_tensors((arrays(), target.astype("float32")))
        model.fit(batch, epochs=3, shuffle=False, verbose=0)
    else:
        model.fit(list(arrays()), target, epochs=3, verbose=0)
    moved = [np.abs(as_float64(w) - b).max() for w, b in zip(model.weights, before, strict=True)]
    # A bias of keys moves all general scores of a query alike: no effect.
    assert sorted(moved)[1] > 1e-4


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("attention", ["bahdanau", "coverage"])
def test_half_precision(dtype, attention):
    expected = built("lstm", attention)
    keras.config.set_dtype_policy(dtype)
    try:
        layer = built("lstm", attention)
    finally:
        keras.config.set_dtype_policy("float32")
    layer.set_weights(expected.get_weights())
    found = layer(*arrays(), MASK)
    assert keras.backend.standardize_dtype(found.dtype) == dtype.removeprefix("mixed_")
    assert_close(found, as_float64(expected(*arrays(), MASK)), atol=0.1)


def test_what_is_masked_reaches_nothing():
    layer, (inputs, memory) = built("lstm", "coverage"), arrays()
    expected = as_float64(layer(inputs, memory, MASK))
    wanted = gradients(layer, {"inputs": inputs, "memory": memory}, memory_mask=MASK)
    memory[~MASK] = np.nan
    assert_close(layer(inputs, memory, MASK), expected, **CLOSE)
    found = gradients(layer, {"inputs": inputs, "memory": memory}, memory_mask=MASK)
    for name in wanted:
        assert_close(found[name], wanted[name], **CLOSE, err_msg=name)


def test_nothing_to_read():
    layer, (inputs, memory) = built(), arrays()
    mask = MASK.copy()
    mask[0] = False
    outputs, weights = layer(inputs, memory, mask, return_attention_scores=True)
    assert (as_float64(outputs)[0] == 0).all()
    assert (as_float64(weights)[0] == 0).all()
    found = gradients(layer, {"inputs": inputs, "memory": memory}, memory_mask=mask)
    assert all(np.isfinite(g).all() for g in found.values())


def test_two_memories():
    keras.utils.set_random_seed(3)
    layer = ka.AttentionCell(CELLS["gru"](), [ka.BahdanauAttention(3), ka.BahdanauAttention(5)])
    inputs, memory = arrays()
    other = arrays(length=2)[1][..., :3]
    outputs, weights = layer(inputs, [memory, other], [MASK, None], return_attention_scores=True)
    assert tuple(outputs.shape) == (B, T, DM + 3)
    assert [tuple(w.shape) for w in weights] == [(B, T, TV), (B, T, 2)]
    contexts = np.einsum("bts,bsd->btd", as_float64(weights[1]), other)
    assert_close(as_float64(outputs)[..., DM:], contexts, **CLOSE)


def test_a_given_state_and_halves_of_a_sequence():
    layer, (inputs, memory) = built("lstm", "coverage"), arrays()
    given = [np.full((B, UNITS), x, "float32") for x in (0.5, -0.25)]
    whole = as_float64(layer(inputs, memory, initial_state=given))
    assert np.abs(whole - as_float64(layer(inputs, memory))).max() > 0.01
    prepared = layer.prepare(ops.convert_to_tensor(memory))
    state = layer.initial_state(prepared, [ops.convert_to_tensor(x) for x in given])
    first, _, state = layer.unroll(ops.convert_to_tensor(inputs[:, :2]), state, prepared)
    second, _, _ = layer.unroll(ops.convert_to_tensor(inputs[:, 2:]), state, prepared)
    assert_close(np.concatenate([as_float64(first), as_float64(second)], 1), whole, **CLOSE)


@keras.saving.register_keras_serializable(package="tests")
class Gate(keras.layers.Layer):
    """Mixes input and attention by a Dense of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(5)

    def build(self, inputs_shape, read_shape):
        self.dense.build((None, inputs_shape[-1] + read_shape[-1]))

    def call(self, inputs, read):
        return self.dense(ops.concatenate([inputs, read], axis=-1))


@keras.saving.register_keras_serializable(package="tests")
def first_five(inputs, read):
    return inputs[:, :5] + read[:, :5]


@pytest.mark.parametrize("join", [Gate, lambda: first_five], ids=["layer", "function"])
def test_an_input_of_ones_own(join, tmp_path):
    layer = ka.AttentionCell(CELLS["gru"](), ATTENTIONS["bahdanau"](), cell_input=join())
    inputs = keras.Input((None, DX)), keras.Input((None, DM))
    model = keras.Model(inputs, layer(*inputs))
    assert layer.cell.weights[0].shape[0] == 5
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_close(loaded(list(arrays())), model(list(arrays())), rtol=1e-6)
    assert len(loaded.weights) == len(model.weights)


class Leaky(keras.layers.Layer):
    """A cell of one's own, with what `keras.layers.RNN` asks for and no more."""

    def __init__(self):
        super().__init__()
        self.state_size = UNITS

    def build(self, inputs_shape):
        self.kernel = self.add_weight(shape=(inputs_shape[-1], UNITS))

    def call(self, inputs, states):
        state = 0.5 * states[0] + ops.matmul(inputs, self.kernel)
        return state, [state]


def test_a_cell_of_ones_own():
    layer = ka.AttentionCell(Leaky(), ATTENTIONS["bahdanau"]())
    assert tuple(layer(*arrays()).shape) == (B, T, DM)


@pytest.mark.parametrize("cell", CELLS)
def test_dropout_of_cells_and_attentions(cell):
    keras.utils.set_random_seed(5)
    attention = [
        ka.BahdanauAttention(3, dropout=0.4),
        ka.MultiHeadCrossAttention(2, 3, dropout=0.4),
    ]
    made = CELLS[cell](dropout=0.3, recurrent_dropout=0.3)
    layer = ka.AttentionCell(made, attention)
    expected = as_float64(layer(*arrays()))
    assert_equal(layer(*arrays()), expected)
    draws = [as_float64(layer(*arrays(), training=True)) for _ in range(2)]
    assert np.abs(draws[0] - expected).max() > 1e-3
    assert np.abs(draws[0] - draws[1]).max() > 1e-3


def test_calls_leave_nothing_behind():
    layer = built("lstm", "two")
    before = dict(vars(layer))
    layer(arrays()[0], arrays(length=2)[1], training=True)
    assert vars(layer).keys() == before.keys()
    assert all(vars(layer)[name] is before[name] for name in before if name != "_called")


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"cell": 3}, "cell=3"),
        ({"attention": keras.layers.Dense(3)}, "attention="),
        ({"attention": []}, "attention="),
        ({"output": "both"}, "output='both'"),
        ({"cell_input": "sum"}, "cell_input='sum'"),
        ({"attention_layer_size": [3, 5]}, "2"),
    ],
)
def test_arguments_that_make_no_sense(kwargs, match):
    given = {"cell": CELLS["gru"](), "attention": ATTENTIONS["bahdanau"](), **kwargs}
    with pytest.raises(ValueError, match=f"Received: {match}"):
        ka.AttentionCell(**given)


def test_numbers_of_memories():
    layer = ka.AttentionCell(CELLS["gru"](), ATTENTIONS["two"]())
    inputs, memory = arrays()
    with pytest.raises(ValueError, match="one memory for each of 2 attentions. Received: 3"):
        layer(inputs, [memory] * 3)
