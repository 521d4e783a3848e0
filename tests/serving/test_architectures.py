"""Every kind of `Seq2Seq`, exported and asked over gRPC, answers as the model does."""

import keras
import numpy as np
import pytest

import keras_attention as ka
from keras_attention_serving import Client
from keras_attention_serving.server import Server
from tests.models.variants import ids, padded

VOCABULARY, LENGTH, WIDTH = 17, 4, 3
LENGTHS = (5, 1, 3)
MODELS = {
    "transformer": lambda: ka.TransformerSeq2Seq(
        VOCABULARY, VOCABULARY, units=6, num_heads=3, num_layers=1
    ),
    "bytenet": lambda: ka.ByteNetSeq2Seq(VOCABULARY, VOCABULARY, units=6, dilations=(1, 2)),
    "convs2s": lambda: ka.ConvSeq2Seq(VOCABULARY, VOCABULARY, units=5, num_layers=2),
    "wavenet": lambda: ka.WaveNet(VOCABULARY, units=7, dilations=(1, 2)),
    "transformer_lm": lambda: ka.TransformerLM(VOCABULARY, units=6, num_heads=3, num_layers=1),
}
SEARCHED = ("convs2s", "transformer_lm")


@pytest.fixture(scope="module")
def models():
    keras.utils.set_random_seed(29)
    made = {name: make() for name, make in MODELS.items()}
    generator = np.random.default_rng(31)
    for model in made.values():
        model({"source": sources(), "target": sources()})
        for weight in model.trainable_weights:
            noise = 0.5 * generator.standard_normal(weight.shape)
            weight.assign_add(noise.astype("float32"))
    return made


@pytest.fixture(scope="module")
def client(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved_models")
    for name, model in models.items():
        searches = ("beam",) if name in SEARCHED else ()
        ka.export(model, folder / name, max_length=LENGTH, beam_width=WIDTH, searches=searches)
    with Server({name: folder / name for name in models}, port=0, host="127.0.0.1") as server:
        with Client(f"127.0.0.1:{server.port}", timeout=60) as client:
            yield client


def sources():
    return padded(ids((len(LENGTHS), max(LENGTHS)), VOCABULARY), LENGTHS).astype("int32")


def question():
    return {"ids": sources(), "lengths": np.array(LENGTHS, "int32")}


@pytest.mark.parametrize("name", MODELS)
def test_greedy_answers(models, client, name):
    found = client.predict(name, question())
    expected = models[name].decode(sources(), max_length=LENGTH)
    assert expected.lengths.numpy().any()
    for field, value in {"ids": expected.ids, "lengths": expected.lengths}.items():
        np.testing.assert_array_equal(found[field], value)
    np.testing.assert_allclose(found["score"], expected.score, rtol=1e-4)
    np.testing.assert_allclose(found["alignment"], expected.alignments, atol=1e-5)


@pytest.mark.parametrize("name", SEARCHED)
def test_beam_answers(models, client, name):
    asked = {**question(), "length_penalty": np.full(len(LENGTHS), 0.6, "float32")}
    found = client.predict(name, asked, signature="beam")
    expected = models[name].beam_search(
        sources(), max_length=LENGTH, beam_width=WIDTH, n_best=WIDTH, length_penalty=0.6
    )
    np.testing.assert_array_equal(found["ids"], expected.ids)
    np.testing.assert_allclose(found["score"], expected.score, rtol=1e-4)
