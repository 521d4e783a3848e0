"""What a `.keras` file keeps: all weights, and what files of earlier releases hold."""

import inspect
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_attention as ka
from tests.models.variants import array, batch, ids
from tests.saved_layers import own_weights, saved_layers

FILES = Path(__file__).parents[1] / "fixtures" / "keras_files"


def readable(path, folder):
    """The file, without arguments of Keras' initializers that an older Keras does not know."""
    known = inspect.signature(keras.initializers.GlorotUniform).parameters
    with zipfile.ZipFile(path) as read, zipfile.ZipFile(folder / path.name, "w") as write:
        for name in read.namelist():
            data = read.read(name)
            if name == "config.json" and "input_axes" not in known:
                data = data.replace(b', "input_axes": null, "output_axes": null', b"")
            write.writestr(name, data)
    return folder / path.name


@pytest.mark.parametrize("path", sorted(FILES.glob("*.keras")), ids=lambda path: path.stem)
def test_a_file_of_version_0_1_0_answers_as_it_did(path, tmp_path):
    expected = np.load(FILES / "answers.npz")
    model = keras.saving.load_model(readable(path, tmp_path))
    logits = expected[f"{path.stem}/logits"]
    np.testing.assert_allclose(array(model(batch())), logits, rtol=1e-4, atol=1e-5)
    ids = model.decode(batch()["source"], max_length=5).ids
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(ids), expected[f"{path.stem}/ids"])


def two_attentions():
    attentions = [ka.BahdanauAttention(5), ka.CoverageAttention(ka.BahdanauAttention(3))]
    cells = keras.layers.StackedRNNCells([keras.layers.LSTMCell(13), keras.layers.GRUCell(7)])
    cell = ka.AttentionCell(cells, attentions, attention_layer_size=[11, 2])
    decoder = ka.AttentionDecoder(cell, keras.layers.Dense(17), keras.layers.Embedding(17, 3))
    decoder(ids((2, 3), 17), np.ones((2, 5, 19), "float32"))
    return decoder


def called(model, *shape):
    model(ids(shape, 17))
    return model


def neural_turing_machine():
    layer = keras.layers.RNN(ka.NTMCell(keras.layers.GRUCell(5), 3, 2, read_heads=2))
    layer(np.ones((2, 3, 7), "float32"))
    return layer


OTHERS = {
    "attention_decoder": two_attentions,
    "wave_net": lambda: called(ka.WaveNet(17, units=5, dilations=(1, 2)), 2, 3),
    "transformer_lm": lambda: called(
        ka.TransformerLM(17, units=12, num_heads=2, num_layers=2, positions="relative"), 2, 3
    ),
    "memory_network": lambda: ka.MemoryNetwork(17, units=5, hops=2),
    "ntm": neural_turing_machine,
}


def test_no_weight_is_where_some_keras_does_not_save_it(model):
    assert sum(map(own_weights, saved_layers(model))) == len(model.weights)


@pytest.mark.parametrize("name", OTHERS)
def test_no_weight_of_other_models_is_there(name):
    model = OTHERS[name]()
    assert model.weights
    assert sum(map(own_weights, saved_layers(model))) == len(model.weights)


def test_every_weight_comes_back(model, variant, tmp_path):
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    other = variant.model()
    for weight in other.weights:
        weight.assign(weight * 0 + 7)
    other.load_weights(tmp_path / "model.weights.h5")
    for loaded in (again, other):
        for found, expected in zip(loaded.weights, model.weights, strict=True):
            np.testing.assert_array_equal(array(found), array(expected), err_msg=found.path)
