"""`fit` reaches every weight of every layer, with masks, dropout and lengths that are unknown."""

import keras
import numpy as np

from tests.arrays import as_float64
from tests.conformance.cases import CASES
from tests.conformance.masking import value_mask

# One row of each class, in one model: compiling is what takes the time. The first, but for these.
INSTEAD = {
    "bahdanau": "bahdanau_normalized",
    "luong_dot": "luong_concat",
    "multi_head_cross_scores": "multi_head_cross",
}
FIRST = {case.layer_class: case for case in reversed(CASES)}
NAMES = [INSTEAD.get(case.name, case.name) for case in FIRST.values()]
ROWS = [case for case in CASES if case.name in NAMES]

# A bias of keys and the last one of a scorer move all scores of a query alike: no effect.
WITHOUT_EFFECT = {"multi_head_self": 1, "multi_head_cross": 1, "scorer": 1}


def test_every_class_has_a_row():
    assert {case.layer_class for case in ROWS} == {case.layer_class for case in CASES}


def test_fit_moves_every_weight():
    inputs, arrays, outputs, layers = [], [], [], []
    for case in ROWS:
        layer = case.built_layer(dropout=0.3, seed=1)
        own = {name: keras.Input((None, size)) for name, size in case.sizes.items()}
        name, mask = case.mask_names[1], keras.Input((None,), dtype="bool")
        outputs.append(layer(**own, **{name: mask}))
        inputs += [*own.values(), mask]
        arrays += [*case.inputs().values(), value_mask(case)]
        layers.append(layer)
    model = keras.Model(inputs, outputs)
    model.compile("adam", loss=["mse"] * len(outputs), jit_compile=False)
    targets = [np.zeros_like(as_float64(output)) for output in model(arrays)]
    before = [[as_float64(w) for w in layer.trainable_weights] for layer in layers]
    history = model.fit(arrays, targets, epochs=3, batch_size=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    for case, layer, old in zip(ROWS, layers, before, strict=True):
        moved = [
            np.abs(as_float64(w) - o).max() > 1e-4
            for w, o in zip(layer.trainable_weights, old, strict=True)
        ]
        assert moved.count(False) <= WITHOUT_EFFECT.get(case.name, 0), case.name
