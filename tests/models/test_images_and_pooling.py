"""A CNN's map as memory, and a BiLSTM pooled: each is trained, exported, served and asked."""

import keras
import numpy as np
from keras import ops

import keras_attention as ka
from tests.arrays import assert_close

VOCABULARY = 11


def captioner():
    """Tokens of a caption, read beside the picture's map of 4 x 4 places."""
    picture = keras.Input((8, 8, 3), name="picture")
    caption = keras.Input((None,), dtype="int32", name="caption")
    features = keras.layers.Conv2D(7, 3, strides=2, padding="same", activation="relu")(picture)
    memory = keras.layers.Reshape((-1, 7))(features)
    cell = ka.AttentionCell(keras.layers.GRUCell(13), ka.BahdanauAttention(5))
    embedding = keras.layers.Embedding(VOCABULARY, 5)
    decoder = ka.AttentionDecoder(cell, keras.layers.Dense(VOCABULARY), embedding)
    logits, weights = decoder(caption, memory, return_attention_scores=True)
    outputs = {"logits": logits, "weights": weights}
    return keras.Model({"picture": picture, "caption": caption}, outputs)


def classifier():
    """The kind of a series: an average of a BiLSTM's states, weighted by a scorer."""
    series = keras.Input((None, 3), name="series")
    states = keras.layers.Bidirectional(keras.layers.LSTM(5, return_sequences=True))(series)
    scorer = keras.Sequential([keras.layers.Dense(7, "tanh"), keras.layers.Dense(1)])
    pooled, weights = ka.TimeDistributedScorer(scorer)(states, return_attention_scores=True)
    outputs = {"logits": keras.layers.Dense(2)(pooled), "weights": weights}
    return keras.Model({"series": series}, outputs)


def assert_learns_and_serves(model, inputs, labels, path):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), loss={"logits": loss, "weights": None})
    losses = model.fit(inputs, {"logits": labels}, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    if keras.backend.backend() != "tensorflow":
        return
    from keras_attention_serving import Client
    from keras_attention_serving.server import Server

    ka.export(model, path)
    with Server({"model": path}, port=0, host="127.0.0.1") as server:
        with Client(f"127.0.0.1:{server.port}") as client:
            found = client.predict("model", {name: x[:3] for name, x in inputs.items()})
    expected = model({name: ops.convert_to_tensor(x[:3]) for name, x in inputs.items()})
    assert set(found) == set(expected)
    for name, wanted in expected.items():
        assert_close(found[name], wanted, rtol=1e-4, atol=1e-5)
    assert_close(found["weights"].sum(-1), np.ones(found["weights"].shape[:-1]), rtol=1e-5)


def test_a_picture_is_read_place_by_place(tmp_path):
    keras.utils.set_random_seed(3)
    generator = np.random.default_rng(3)
    picture = generator.standard_normal((32, 8, 8, 3)).astype("float32")
    bright = (picture.mean((1, 2, 3)) > 0).astype("int32")
    labels = np.stack([bright + 4, bright + 6, np.full(32, 3)], axis=1)
    caption = np.pad(labels[:, :-1], [(0, 0), (1, 0)], constant_values=2).astype("int32")
    inputs = {"picture": picture, "caption": caption}
    assert_learns_and_serves(captioner(), inputs, labels, tmp_path / "captions")


def test_a_bilstm_is_pooled(tmp_path):
    keras.utils.set_random_seed(5)
    generator = np.random.default_rng(5)
    series = generator.standard_normal((32, 7, 3)).astype("float32")
    labels = (series[:, 0, 0] > 0).astype("int32")
    assert_learns_and_serves(classifier(), {"series": series}, labels, tmp_path / "kinds")
