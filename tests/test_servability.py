"""Models that a SavedModel would not hold as Keras means them."""

import keras
import pytest

import keras_attention as ka
from keras_attention.exporting import servability


class Inside(keras.layers.Layer):
    """Has its layers in a list, one of them within another model."""

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [keras.Sequential([layer])]

    def build(self, shape):
        self.blocks[0].build(shape)

    def call(self, x):
        return self.blocks[0](x)


def distributed(name="steps"):
    return keras.layers.TimeDistributed(keras.layers.Dense(3), name=name)


def functional(layer, steps):
    inputs = keras.Input((steps, 5), name="x")
    return keras.Model(inputs, layer(inputs))


MODELS = {
    "functional": lambda steps: functional(distributed(), steps),
    "sequential": lambda steps: keras.Sequential([keras.Input((steps, 5)), distributed()]),
    "nested": lambda steps: functional(functional(distributed(), steps), steps),
    "in a layer of one's own": lambda steps: functional(Inside(distributed()), steps),
}


@pytest.mark.parametrize("name", MODELS)
def test_time_distributed(name, monkeypatch, tmp_path):
    """Refused over an unknown number of steps, where Keras has that wrong."""
    monkeypatch.setattr(servability, "_takes_batch_for_steps", lambda: True)
    servability.check_servable(MODELS[name](7))
    model = MODELS[name](None)
    with pytest.raises(ValueError, match="a known number of steps.*Received: layer 'steps'"):
        ka.export(model, tmp_path / "m")
    assert not (tmp_path / "m").exists()
    monkeypatch.setattr(servability, "_takes_batch_for_steps", lambda: False)
    servability.check_servable(model)


def test_time_distributed_in_a_model_that_was_built_with_numbers(monkeypatch):
    """Its signatures take any length, whatever it has seen."""
    monkeypatch.setattr(servability, "_takes_batch_for_steps", lambda: True)
    layer = distributed()
    model = keras.Sequential([layer])
    model.build((2, 7, 5))
    with pytest.raises(ValueError, match="layer 'steps'"):
        servability.check_servable(model, has_unknown_steps=True)


def test_optional_inputs_are_refused(tmp_path):
    a = keras.Input((5,), name="a")
    b = keras.Input((5,), name="b", optional=True)

    class Sum(keras.layers.Layer):
        def call(self, a, b=None):
            return a if b is None else a + b

    model = keras.Model([a, b], Sum()(a, b))
    with pytest.raises(ValueError, match="are not optional. Received: optional input 'b'"):
        ka.export(model, tmp_path / "m")
    assert not (tmp_path / "m").exists()
