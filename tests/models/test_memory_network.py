"""The memory network as a model: it learns, comes back from a file, and is served."""

import keras
import numpy as np
import pytest

import keras_attention as ka
from tests.arrays import as_float64, assert_close

PERSONS, PLACES = 3, 5  # words 2 to 4 and 5 to 9; word 1 stands between them


def stories(count, sentences=5, seed=0):
    """Persons go to places; where is one of them? The last place of that person is right."""
    generator = np.random.default_rng(seed)
    who = generator.integers(2, 2 + PERSONS, (count, sentences))
    where = generator.integers(5, 5 + PLACES, (count, sentences))
    story = np.stack([who, np.ones_like(who), where], -1).astype("int32")
    asked = who[np.arange(count), generator.integers(0, sentences, count)]
    last = [np.flatnonzero(row == one)[-1] for row, one in zip(who, asked, strict=True)]
    answer = where[np.arange(count), last]
    return {"story": story, "question": asked[:, None].astype("int32")}, answer


def model_of(**kwargs):
    keras.utils.set_random_seed(3)
    model = ka.MemoryNetwork(2 + PERSONS + PLACES, units=11, hops=2, memory_size=7, **kwargs)
    adam = keras.optimizers.Adam(0.03)
    model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_it_learns_to_look_at_the_last_sentence_of_whom_is_asked(tmp_path):
    model = model_of(time_jitter=0.1, seed=5)
    start = ka.LinearStart(epochs=2)
    history = model.fit(*stories(1500), epochs=15, batch_size=50, callbacks=[start], verbose=0)
    assert history.history["accuracy"][-1] > 0.9
    inputs, answers = stories(200, seed=1)
    found = model.predict(inputs, verbose=0)
    assert (found["answer"].argmax(-1) == answers).mean() > 0.95
    # Some hop has its eye on a sentence that answers.
    looked = found["attention"].max(1).argmax(-1)
    rows = np.arange(200)
    assert (inputs["story"][rows, looked, 2] == answers).mean() > 0.8
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.memory.time_jitter == 0.1
    for name, wanted in again.predict(inputs, verbose=0).items():
        assert_close(found[name], wanted, rtol=1e-5, atol=1e-6)


def test_linear_start_ends_when_training_gets_no_better():
    model, start, seen = model_of(), ka.LinearStart(), []
    start.set_model(model)
    start.on_train_begin()
    for epoch, loss in enumerate([3.0, 2.0, 2.5, 1.0]):
        seen.append(float(as_float64(model.memory.linear)))
        start.on_epoch_end(epoch, {"val_loss": loss, "loss": 0.0})
    assert seen == [1, 1, 1, 0]
    start.on_train_begin()
    start.on_train_end()
    assert float(as_float64(model.memory.linear)) == 0


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a SavedModel is TensorFlow's")
def test_it_is_served(tmp_path):
    from keras_attention_serving import Client
    from keras_attention_serving.server import Server

    model, (inputs, _) = model_of(tying="layer_wise"), stories(3)
    ka.export(model, tmp_path / "stories")
    with Server({"stories": tmp_path / "stories"}, port=0, host="127.0.0.1") as server:
        with Client(f"127.0.0.1:{server.port}") as client:
            for count, sentences in ((3, 5), (1, 2)):
                inputs, _ = stories(count, sentences)
                found, expected = client.predict("stories", inputs), model(inputs)
                assert set(found) == {"answer", "attention"}
                for name in expected:
                    assert_close(found[name], expected[name], rtol=1e-4, atol=1e-6)
