"""A model over `RNN(NTMCell)`: it learns to copy, and is served with where its heads stood."""

import keras
import numpy as np

import keras_attention as ka
from tests.arrays import assert_close

BITS, LOCATIONS = 3, 11


def copies(count, steps, seed):
    """Vectors of bits, a mark, and the same vectors again while the input is silent."""
    vectors = np.random.default_rng(seed).integers(0, 2, (count, steps, BITS)).astype("float32")
    inputs = np.zeros((count, 2 * steps + 1, BITS + 1), "float32")
    inputs[:, :steps, :BITS], inputs[:, steps, BITS] = vectors, 1
    targets = np.zeros((count, 2 * steps + 1, BITS), "float32")
    targets[:, steps + 1 :] = vectors
    return inputs, targets


def test_it_learns_to_copy_and_is_served(tmp_path):
    keras.utils.set_random_seed(2)
    cell = ka.NTMCell(keras.layers.Dense(20, "tanh"), LOCATIONS, 5, return_weights=True)
    inputs = keras.Input((None, BITS + 1), name="inputs")
    features, read, write = cell.split(keras.layers.RNN(cell, return_sequences=True)(inputs))
    bits = keras.layers.Dense(BITS, "sigmoid", name="bits")(features)
    trained = keras.Model(inputs, bits)
    trained.compile(keras.optimizers.Adam(0.02, global_clipnorm=10.0), "binary_crossentropy")
    given, wanted = copies(count=14400, steps=3, seed=0)
    counts = np.zeros(given.shape[:2])
    counts[:, 4:] = 7 / 3
    trained.fit(given, wanted, sample_weight=counts, batch_size=32, verbose=0)

    model = keras.Model(inputs, {"bits": bits, "read": read, "write": write})
    given, wanted = copies(count=100, steps=3, seed=1)
    found = {name: np.asarray(x) for name, x in model.predict(given, verbose=0).items()}
    assert ((found["bits"] > 0.5) != wanted)[:, 4:].mean() < 0.01
    # The read head goes the way that the write head went, a location a step.
    read_at, written_at = found["read"][:, 4:, 0].argmax(-1), found["write"][:, :3, 0].argmax(-1)
    moves = np.diff(written_at) % LOCATIONS
    assert np.isin(moves, [1, LOCATIONS - 1]).mean() > 0.9
    assert (np.diff(read_at) % LOCATIONS == moves).mean() > 0.9
    if keras.backend.backend() == "tensorflow":
        ka.export(model, tmp_path / "copy")
        assert_served(model, tmp_path / "copy")


def assert_served(model, path):
    from keras_attention_serving import Client
    from keras_attention_serving.server import Server

    with Server({"copy": path}, port=0, host="127.0.0.1") as server:
        with Client(f"127.0.0.1:{server.port}") as client:
            for count, steps in ((2, 3), (1, 5)):
                given, _ = copies(count, steps, seed=2)
                answer, expected = client.predict("copy", {"inputs": given}), model(given)
                assert set(answer) == {"bits", "read", "write"}
                for name in expected:
                    assert_close(answer[name], expected[name], rtol=1e-4, atol=1e-5)
                assert answer["read"].shape == (count, 2 * steps + 1, 1, LOCATIONS)
