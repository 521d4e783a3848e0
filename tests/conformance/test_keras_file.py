"""A model saved to a `.keras` file and loaded again answers the same."""

import keras

from tests.arrays import assert_close, assert_equal
from tests.conformance.cases import CASES
from tests.saved_layers import own_weights, saved_layers


def test_save_and_load(case, tmp_path):
    inputs = case.symbolic_inputs()
    model = keras.Model(inputs, case.built_layer()(**inputs, return_attention_scores=True))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    # With lengths that the first model never saw.
    arrays = case.inputs(3, 5, 7)
    for found, expected in zip(loaded(arrays), model(arrays), strict=True):
        assert_close(found, expected, rtol=1e-6, atol=1e-6)
    names = [(w.name, w.shape) for w in model.weights]
    assert [(w.name, w.shape) for w in loaded.weights] == names


def test_weights_alone(case, tmp_path):
    first, second = case.built_layer(), case.built_layer()
    for weight in second.trainable_weights:
        weight.assign(weight * 2 + 1)
    _Model(first).save_weights(tmp_path / "model.weights.h5")
    _Model(second).load_weights(tmp_path / "model.weights.h5")
    for found, expected in zip(second.get_weights(), first.get_weights(), strict=True):
        assert_equal(found, expected)


def test_no_weight_is_where_some_keras_does_not_save_it(case):
    layer = case.built_layer()
    assert sum(map(own_weights, saved_layers(layer))) == len(layer.weights)


class _Model(keras.Model):
    """The layer, built already, as an attribute of a subclassed model."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.built = True

    def call(self, inputs):
        return self.layer(**inputs)


def test_all_in_one_file(tmp_path):
    """Layers of the same class beside each other keep their own weights."""
    inputs, outputs = [], []
    for case in CASES:
        own = {name: keras.Input((None, size)) for name, size in case.sizes.items()}
        outputs.append(case.built_layer()(**own))
        inputs += own.values()
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    arrays = [x for case in CASES for x in case.inputs().values()]
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for found, expected in zip(loaded(arrays), model(arrays), strict=True):
        assert_close(found, expected, rtol=1e-6, atol=1e-6)
