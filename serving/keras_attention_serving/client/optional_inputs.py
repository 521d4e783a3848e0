"""One value for each row, where a request leaves an input out or gives it once for all rows.

A server that batches wants as many rows in every input, and does not fill in defaults by rows.
"""

from collections.abc import Mapping

import numpy as np

from keras_attention_serving.protocol.tensors import Array


def fill(
    inputs: Mapping[str, Array],
    shapes: Mapping[str, tuple[int | None, ...] | None],
    defaults: Mapping[str, Array],
) -> dict[str, Array]:
    """The inputs of a request, and those with a default `(1,)` once for each row of the others.

    Args:
        inputs: what the request gives, by name.
        shapes: of the inputs of the signature, as `TensorSpec.shape` has them.
        defaults: of the inputs of the signature that may be left out.
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
