"""Weights of other packages in layers of this one: the numbers of those packages come out."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention as ka
from keras_attention import migrate
from keras_attention.decoding import greedy
from keras_attention.migrate.matching import check_built
from tests.arrays import as_float64, assert_close, assert_equal

FOLDER = Path(__file__).parent / "fixtures"
ADDONS, PEERS = np.load(FOLDER / "addons.npz"), np.load(FOLDER / "peers.npz")
CLOSE = {"rtol": 1e-6, "atol": 1e-6}
DX, DM, CELL, UNITS, SIZE, OUTPUTS = 7, 11, 13, 17, 19, 23


def arrays_of(file, start):
    names = [name for name in file.files if name.startswith(f"{start}/")]
    assert names
    return {name.removeprefix(f"{start}/"): file[name] for name in names}


def mask_of(case):
    return np.arange(5) < ADDONS[f"{case}/lengths"][:, None]


def normalized():
    return ka.BahdanauAttention(UNITS, normalize=True)


def scaled():
    return ka.LuongAttention("general", scale=True)


def soft(scorer):
    return ka.MonotonicAttention(scorer, hard_inference=False)


MECHANISMS = {
    "alone_bahdanau": lambda: ka.BahdanauAttention(UNITS),
    "alone_bahdanau_normalized": normalized,
    "alone_luong": lambda: ka.LuongAttention("general"),
    "alone_luong_scaled": scaled,
    "alone_bahdanau_monotonic": lambda: soft(normalized()),
    "alone_luong_monotonic": lambda: soft(scaled()),
}


def built_mechanism(case):
    layer = MECHANISMS[case]()
    layer.build((None, None, CELL), (None, None, DM))
    return layer


@pytest.mark.parametrize("case", MECHANISMS)
def test_mechanisms_of_addons(case):
    layer = built_mechanism(case)
    variables = arrays_of(ADDONS, f"{case}/checkpoint")
    filled = migrate.load_addons(layer, variables)
    assert set(filled) == set(variables)
    assert sorted(p for paths in filled.values() for p in paths) == sorted(
        weight.path for weight in layer.trainable_weights
    )
    query, memory = ADDONS[f"{case}/query"], ADDONS[f"{case}/memory"]
    context, weights = layer(
        query[:, None], memory, value_mask=mask_of(case), return_attention_scores=True
    )
    alignments = ADDONS[f"{case}/alignments"]
    assert_close(weights[:, 0], alignments, **CLOSE)
    expected = np.einsum("bs,bsd->bd", as_float64(alignments), as_float64(memory))
    assert_close(context[:, 0], expected, rtol=1e-5, atol=1e-6)


def gru():
    return keras.layers.GRUCell(CELL)


WRAPPERS = {
    "bahdanau": lambda: ka.AttentionCell(
        keras.layers.LSTMCell(CELL), normalized(), attention_layer_size=SIZE
    ),
    "luong": lambda: ka.AttentionCell(gru(), scaled(), output="cell"),
    "bahdanau_monotonic_recursive": lambda: ka.AttentionCell(
        gru(), soft(ka.BahdanauAttention(UNITS))
    ),
    "bahdanau_monotonic_hard": lambda: ka.AttentionCell(
        gru(), ka.MonotonicAttention(ka.BahdanauAttention(UNITS))
    ),
    "luong_monotonic": lambda: ka.AttentionCell(gru(), soft(scaled())),
    "two": lambda: ka.AttentionCell(
        gru(),
        [ka.BahdanauAttention(UNITS), ka.LuongAttention("general")],
        attention_layer_size=[SIZE, UNITS],
    ),
}


def built_cell(case):
    cell = WRAPPERS[case]()
    cell.build((None, None, DX), (None, None, DM))
    return cell


@pytest.mark.parametrize("case", WRAPPERS)
def test_wrappers_of_addons(case):
    cell = built_cell(case)
    variables = arrays_of(ADDONS, f"{case}/checkpoint")
    filled = migrate.load_addons(cell, variables)
    assert set(filled) == set(variables)
    assert sum(map(len, filled.values())) == len(cell.trainable_weights)
    outputs, found = cell(
        ADDONS[f"{case}/inputs"],
        ADDONS[f"{case}/memory"],
        mask_of(case),
        return_attention_scores=True,
    )
    assert_close(outputs, ADDONS[f"{case}/outputs"], **CLOSE)
    for i, one in enumerate(found if cell.is_list else [found]):
        assert_close(one, ADDONS[f"{case}/alignments_{i}"], **CLOSE)


def built_decoder(embedding=None):
    cells = keras.layers.StackedRNNCells([keras.layers.LSTMCell(UNITS), gru()])
    cell = ka.AttentionCell(
        cells, normalized(), attention_layer_size=SIZE, attention_activation="tanh"
    )
    decoder = ka.AttentionDecoder(cell, keras.layers.Dense(OUTPUTS), embedding)
    target = (None, None, DX) if embedding is None else (None, None)
    decoder.build(target, (None, None, DM))
    return decoder


@pytest.mark.parametrize("source", ["npz", "checkpoint"])
def test_decoder_of_addons(source, tmp_path):
    if source == "npz":
        path = tmp_path / "decoder.npz"
        np.savez(path, **arrays_of(ADDONS, "decoder/checkpoint"))
    else:
        pytest.importorskip("tensorflow")
        path = FOLDER / "addons_decoder"
    decoder, variables = built_decoder(), migrate.read_variables(path)
    filled = migrate.load_addons(decoder, variables)
    assert set(filled) == set(variables)
    assert sum(map(len, filled.values())) == len(decoder.trainable_weights)
    inputs, memory = ADDONS["decoder/inputs"], ADDONS["decoder/memory"]
    logits = decoder(inputs, memory, memory_mask=mask_of("decoder"))
    assert_close(logits, ADDONS["decoder/outputs"], **CLOSE)


def test_answers_of_addons():
    """What is decoded greedily with the weights that were loaded, token for token."""
    embedding = keras.layers.Embedding(OUTPUTS, DX)
    decoder = built_decoder(embedding)
    migrate.load_addons(decoder, arrays_of(ADDONS, "decoder/checkpoint"))
    for weight in decoder.trainable_weights:
        weight.assign(4 * weight)  # as there, so that the tokens vary
    embedding.set_weights([ADDONS["decoder/embedding"]])
    expected, lengths = ADDONS["decoder/greedy"], ADDONS["decoder/greedy_lengths"]
    steps = 29
    assert len(np.unique(expected)) > 4
    memory = decoder.prepare(ADDONS["decoder/memory"], mask_of("decoder"))
    state = decoder.initial_state(memory)
    tokens = {"start_id": 2, "end_id": 3, "max_length": steps}
    found = greedy(decoder.step, state, memory, batch_size=2, **tokens)
    ids = ops.convert_to_numpy(found.ids)
    for i, length in enumerate(lengths):
        ended = expected[i, length - 1] == 3
        assert found.lengths[i] == length - ended
        assert_equal(ids[i, : length - ended], expected[i, : length - ended])


def test_losses_of_addons():
    logits, labels, weights = (ADDONS[f"loss/{name}"] for name in ("logits", "labels", "weights"))
    assert_close(ka.SequenceCrossentropy()(labels, logits), ADDONS["loss/default"], **CLOSE)
    averaged = ka.SequenceCrossentropy()(labels, logits, sample_weight=weights)
    assert_close(averaged, ADDONS["loss/average"], **CLOSE)
    each = ka.SequenceCrossentropy(reduction="none")(labels, logits, sample_weight=weights)
    assert_close(each, ADDONS["loss/none"], **CLOSE)


def test_short_names():
    """Those of tf.contrib, and what one would write oneself."""
    layer = built_mechanism("alone_bahdanau_monotonic")
    start = "decoder/attention_wrapper/bahdanau_monotonic_attention/"
    variables = {
        "memory_layer/kernel": np.full((DM, UNITS), 2.0),
        f"{start}query_layer/kernel": np.full((CELL, UNITS), 3),
        f"{start}attention_v": np.full(UNITS, 5.0, "float16"),
        f"{start}attention_g": 7.0,
        f"{start}attention_b:0": [11.0] * UNITS,
        f"{start}attention_score_bias": np.float64(13),
    }
    migrate.load_addons(layer, variables)
    filled = layer.scorer
    weights = (filled.key_dense.kernel, filled.query_dense.kernel, filled.attention_v)
    for weight, value in zip(weights, (2, 3, 5), strict=True):
        assert_equal(weight, np.full(weight.shape, value))
    assert_equal(filled.attention_g, 7)
    assert_equal(filled.attention_b, np.full(UNITS, 11))
    assert_equal(layer.attention_score_bias, 13)
    cell = built_cell("bahdanau")
    variables = arrays_of(ADDONS, "bahdanau/checkpoint")
    renamed = {
        n.replace("_attention_layers/0", "attention_layer").replace("_cell/", "lstm_cell_3/"): x
        for n, x in variables.items()
    }
    assert len(migrate.load_addons(cell, renamed)) == len(renamed)
    assert_equal(cell.attention_layers[0].kernel, ADDONS[wrapper_name("attention_layer/kernel")])
    assert_equal(cell.cell.kernel, ADDONS[wrapper_name("lstm_cell/kernel")])


def wrapper_name(end):
    return f"bahdanau/weights/attention_wrapper/{end}:0"


def without(name):
    return lambda variables: {n: x for n, x in variables.items() if name not in n}


def beside(name, value=0.0):
    return lambda variables: {**variables, name: value}


def replaced(name, change):
    return lambda variables: {n: change(x) if name in n else x for n, x in variables.items()}


WRONG = {
    "missing": (without("memory_layer"), "one variable named memory_layer/kernel, of shape (11, 1"),
    "missing in the cell": (without("_cell/recurrent"), "named *cell*/recurrent_kernel"),
    "surplus": (beside("encoder/kernel"), "Received: also ['encoder/kernel']"),
    "twice": (beside("old/attention_v", np.zeros(UNITS)), "one variable named attention_v"),
    "transposed": (replaced("query_layer", np.transpose), "shape (13, 17). Received: shape=(17, 1"),
    "a vector for a scalar": (replaced("attention_g", lambda x: x[None]), "attention_g/"),
    "no numbers": (replaced("attention_b", lambda x: x.astype(str)), "Expected numbers in cell/_"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_changes_nothing(case):
    change, message = WRONG[case]
    cell = built_cell("bahdanau")
    before = [as_float64(weight.value) for weight in cell.weights]
    variables = change(arrays_of(ADDONS, "bahdanau/checkpoint"))
    with pytest.raises(ValueError) as caught:
        migrate.load_addons(cell, variables)
    assert message in str(caught.value)
    assert "Expected" in str(caught.value) and "Received" in str(caught.value)
    for weight, value in zip(cell.weights, before, strict=True):
        assert_equal(weight.value, value)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (ka.BahdanauAttention(UNITS), "Expected layer to be built"),
        (ka.LuongAttention("dot"), "Expected BahdanauAttention"),
        (ka.LocalAttention(ka.LuongAttention("general")), "Expected BahdanauAttention"),
        (ka.AttentionCell(gru(), ka.LuongAttention("dot")), "Expected BahdanauAttention"),
    ],
)
def test_layers_without_a_counterpart_in_addons(layer, message):
    if "built" not in message:
        layer.build((None, None, CELL), (None, None, CELL))
    with pytest.raises(ValueError, match=message):
        migrate.load_addons(layer, {})


def test_weights_that_share_a_name_are_refused():
    """Stacked in a layer of the user's own, not in StackedRNNCells, they cannot be told apart."""
    decoder = ka.AttentionDecoder(
        ka.AttentionCell(gru(), ka.BahdanauAttention(UNITS)),
        keras.Sequential([keras.layers.Dense(SIZE), keras.layers.Dense(OUTPUTS)]),
    )
    decoder.build((None, None, DX), (None, None, DM))
    with pytest.raises(ValueError, match="different names"):
        migrate.load_addons(decoder, {})


def attention_package(score):
    layer = ka.LuongAttention("general") if score == "luong" else ka.BahdanauAttention(7)
    vector = keras.layers.Dense(11, "tanh", use_bias=False)
    layer.build((None, None, 7), (None, None, 7))
    vector.build((None, 14))
    return layer, vector


@pytest.mark.parametrize("score", ["luong", "bahdanau"])
def test_attention_package(score):
    layer, vector = attention_package(score)
    variables = arrays_of(PEERS, f"attention_{score}/variables")
    filled = migrate.load_attention(layer, vector, variables)
    assert set(filled) == set(variables)
    sequence = PEERS[f"attention_{score}/inputs"]
    last = sequence[:, -1:]
    context = layer(last, sequence)
    answer = vector(ops.concatenate([context, last], axis=-1)[:, 0])
    assert_close(answer, PEERS[f"attention_{score}/output"], **CLOSE)
    # The names of a checkpoint.
    renamed = {n.replace("attention_vector", "w_c"): 2 * x for n, x in variables.items()}
    migrate.load_attention(layer, vector, renamed)
    (name,) = [n for n in variables if "attention_vector" in n]
    assert_equal(vector.kernel, 2 * variables[name])


def test_attention_package_refuses_other_layers():
    layer, vector = attention_package("luong")
    with_bias = keras.layers.Dense(11, "tanh")
    linear = keras.layers.Dense(11, use_bias=False)
    for dense in (with_bias, linear):
        dense.build((None, 14))
        with pytest.raises(ValueError, match="Expected attention_vector to be"):
            migrate.load_attention(layer, dense, {})
    other = scaled()
    other.build((None, None, 7), (None, None, 7))
    with pytest.raises(ValueError, match="without scale"):
        migrate.load_attention(other, vector, {})
    with pytest.raises(ValueError, match="one variable named bahdanau_w1/kernel"):
        layer, vector = attention_package("bahdanau")
        migrate.load_attention(layer, vector, arrays_of(PEERS, "attention_luong/variables"))


def window_of_three(steps):
    """`attention_width=3`: a step and those beside it."""
    positions = np.arange(steps)
    return np.abs(positions[:, None] - positions) <= 1


SELF_ATTENTIONS = {
    "self_additive": (lambda: ka.BahdanauAttention(11, normalize=True), {}),
    "self_additive_bare": (lambda: ka.BahdanauAttention(11), {}),
    "self_additive_history": (
        lambda: ka.BahdanauAttention(11, normalize=True),
        {"use_causal_mask": True},
    ),
    "self_additive_width": (
        lambda: ka.BahdanauAttention(11, normalize=True),
        {"attention_mask": window_of_three(5)},
    ),
    "self_multiplicative": (lambda: ka.LuongAttention("general"), {}),
}


@pytest.mark.parametrize("case", SELF_ATTENTIONS)
def test_self_attention_package(case):
    make, options = SELF_ATTENTIONS[case]
    layer, x = make(), PEERS[f"{case}/inputs"]
    layer.build(x.shape, x.shape)
    variables = arrays_of(PEERS, f"{case}/variables")
    filled = migrate.load_self_attention(layer, variables)
    assert set(filled) == set(variables)
    output, weights = layer(x, x, return_attention_scores=True, **options)
    assert_close(weights, PEERS[f"{case}/weights"], **CLOSE)
    assert_close(output, PEERS[f"{case}/output"], **CLOSE)


def test_weighted_attention_of_the_self_attention_package():
    layer, x = ka.TimeDistributedScorer(keras.layers.Dense(1)), PEERS["self_weighted/inputs"]
    layer.build(x.shape)
    migrate.load_self_attention(layer, arrays_of(PEERS, "self_weighted/variables"))
    mask = np.arange(5) < np.array([[5], [3]])
    output, weights = layer(x, mask=mask, return_attention_scores=True)
    assert_close(weights, PEERS["self_weighted/weights"], **CLOSE)
    assert_close(output, PEERS["self_weighted/output"], **CLOSE)


@pytest.mark.parametrize(
    ("layer", "case", "message"),
    [
        (ka.BahdanauAttention(11), "self_additive", "also .*Add_bh"),
        (ka.BahdanauAttention(11, normalize=True), "self_additive_bare", "named \\*_Add_bh"),
        (ka.LuongAttention("general"), "self_additive", "named \\*_Mul_Wa"),
        (ka.LuongAttention("dot"), "self_multiplicative", "Expected BahdanauAttention"),
        (
            ka.TimeDistributedScorer(keras.layers.Dense(1, "tanh")),
            "self_weighted",
            "Expected BahdanauAttention",
        ),
    ],
)
def test_self_attention_package_refuses_what_is_not_equal(layer, case, message):
    layer.build((None, None, 7), (None, None, 7))
    with pytest.raises(ValueError, match=message):
        migrate.load_self_attention(layer, arrays_of(PEERS, f"{case}/variables"))


def test_read_variables_takes_whole_parts_of_names(tmp_path):
    path = tmp_path / "saved.npz"
    names = ("decoder/kernel", "decoder_2/kernel", "encoder/kernel", "save_counter/x")
    moments = "decoder/kernel/.OPTIMIZER_SLOT/optimizer/m"
    np.savez(path, **{name: i for i, name in enumerate((*names, moments))})
    assert set(migrate.read_variables(path)) == set(names[:3])
    assert migrate.read_variables(path, "decoder/") == {"decoder/kernel": 0}
    assert set(migrate.read_variables(str(path), ("decoder", "encoder"))) == {names[0], names[2]}
    with pytest.raises(ValueError, match="within 'coder'.*Received.*encoder/kernel"):
        migrate.read_variables(path, ("decoder", "coder"))


def test_a_checkpoint_without_tensorflow_says_so(monkeypatch):
    import sys

    monkeypatch.delitem(sys.modules, "keras_attention.migrate.checkpoint_tensorflow", raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match="Expected TensorFlow to be installed"):
        migrate.read_variables("training/ckpt-12")


def test_check_built_names_the_layer():
    with pytest.raises(ValueError, match="Expected one to be built.*Received: one=<Dense"):
        check_built(one=keras.layers.Dense(2))
