"""The layers that a file keeps, whatever supported version of Keras writes it."""

import keras

# What every layer has: no file is written by these names.
KERAS_OWN = set(vars(keras.layers.Layer())) | set(vars(keras.Sequential()))


def saved_layers(layer):
    """A layer and all below it that are attributes, or in a list or dict that is one."""
    found, left = {}, [layer]
    while left:
        layer = left.pop()
        if id(layer) in found:
            continue
        found[id(layer)] = layer
        values = [x for name, x in vars(layer).items() if name not in KERAS_OWN]
        for value in [*values, layer.layers if isinstance(layer, keras.Sequential) else ()]:
            value = list(value.values()) if isinstance(value, dict) else value
            value = value if isinstance(value, (list, tuple)) else [value]
            left += [x for x in value if isinstance(x, keras.layers.Layer)]
    return list(found.values())


def own_weights(layer):
    store = {}
    layer.save_own_variables(store)
    return len(store)
