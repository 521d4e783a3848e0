"""Optional inputs, repeated for each row if a request omits them or gives them once for all rows.

A server that batches requires the same number of rows in every input, and does not repeat defaults.
"""

from collections.abc import Mapping

import numpy as np

from keras_attention_serving.protocol.tensors import Array


def fill(
    inputs: Mapping[str, Array],
    shapes: Mapping[str, tuple[int | None, ...] | None],
    defaults: Mapping[str, Array],
) -> dict[str, Array]:
    """Completes the inputs of a request: those with a default `(1,)` get a value for each row.

    Args:
        inputs: the inputs of the request, by name.
        shapes: the shapes of the inputs of the signature, as in `TensorSpec.shape`.
        defaults: the values of the inputs of the signature that may be omitted.
    """
    optional = {
        name: inputs.get(name, default)
        for name, default in defaults.items()
        if shapes.get(name) == (None,) and default.shape == (1,)
    }
    rows = {array.shape[:1] for name, array in inputs.items() if name not in defaults}
    if len(rows) != 1 or rows <= {(), (1,)}:
        return dict(inputs)
    ((size,),) = rows
    once = {name: array for name, array in optional.items() if array.shape == (1,)}
    return {**inputs, **{name: np.repeat(array, size) for name, array in once.items()}}
