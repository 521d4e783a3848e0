"""The recurrent cells that encoder and decoder share, by name."""

from typing import Any

import keras

SEQUENCE_LAYERS = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}
CELLS = {"gru": keras.layers.GRUCell, "lstm": keras.layers.LSTMCell}
STATES_PER_CELL = {"gru": 1, "lstm": 2}


def check_cell(cell: Any) -> Any:
    """Returns `cell` if it names a kind of cell; raises ValueError otherwise."""
    if cell not in CELLS:
        raise ValueError(f"Expected cell to be one of {tuple(CELLS)}. Received: cell={cell!r}")
    return cell


def check_layers(num_layers: int) -> Any:
    """Returns `num_layers` if it is a positive integer; raises ValueError otherwise."""
    if not isinstance(num_layers, int) or num_layers < 1:
        raise ValueError(f"Expected num_layers >= 1. Received: num_layers={num_layers!r}")
    return num_layers
