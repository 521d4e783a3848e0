"""The Neural Turing Machine and its peer, an LSTM."""

import keras

import keras_attention as ka


def ntm(inputs_size, bits, controller="dense", units=100, locations=128, heads=1):
    """Model for any sequence length, as in the paper; 20 numbers in each location of the memory."""
    made = {
        "dense": lambda: keras.layers.Dense(units, "tanh"),
        "lstm": lambda: keras.layers.LSTMCell(units),
    }[controller]()
    cell = ka.NTMCell(made, locations, 20, heads, heads, return_weights=True)
    return _around(cell, inputs_size, bits)


def lstm(inputs_size, bits, units=256):
    """One layer; the paper has three, of 256 each."""
    inputs = keras.Input((None, inputs_size), name="inputs")
    features = keras.layers.LSTM(units, return_sequences=True)(inputs)
    return keras.Model(inputs, keras.layers.Dense(bits, "sigmoid", name="bits")(features))


def with_locations(model, locations):
    """The same machine with another number of locations, on which no weight depends."""
    config = {**model.get_layer("ntm").cell.get_config(), "locations": locations}
    longer = _around(ka.NTMCell.from_config(config), model.input.shape[-1], model.output.shape[-1])
    longer.set_weights(model.get_weights())
    return longer


def with_weights(model):
    """The same machine, which also returns the weights of its heads at each step."""
    layer = model.get_layer("ntm")
    features, read, write = layer.cell.split(layer.output)
    bits = model.get_layer("bits")(features)
    return keras.Model(model.input, {"bits": bits, "read": read, "write": write})


def _around(cell, inputs_size, bits):
    inputs = keras.Input((None, inputs_size), name="inputs")
    outputs = keras.layers.RNN(cell, return_sequences=True, name="ntm")(inputs)
    features, _, _ = cell.split(outputs)
    return keras.Model(inputs, keras.layers.Dense(bits, "sigmoid", name="bits")(features))
