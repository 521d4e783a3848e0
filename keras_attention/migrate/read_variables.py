"""Arrays by name, from a file that another package's weights were saved in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

# What checkpoints hold beside variables of layers: how often they were saved, state of optimizers.
OF_CHECKPOINTS = ("_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter")
OF_OPTIMIZERS = ".OPTIMIZER_SLOT"


def read_variables(path: str | Path, within: str | Sequence[str] = ()) -> dict[str, Any]:
    """Reads what was saved of a model.

    Example:

    ```python
    variables = read_variables("training/ckpt-12", within=("attention", "decoder"))
    load_addons(layer, variables)
    ```

    Args:
        path: an `.npz` file; or a checkpoint of TensorFlow, without `.index`, which needs
            TensorFlow to be read. `<folder>/variables/variables` is that of a SavedModel.
        within: a start of names, or several: what to take, whole parts between slashes. All by
            default.

    Returns:
        A dict from names to NumPy arrays; of a checkpoint without what says when it was saved.

    Raises:
        ValueError: nothing is called as `within` says.
        ImportError: the file is no `.npz` and TensorFlow is not installed.
    """
    starts = (within,) if isinstance(within, str) else tuple(within)
    if str(path).endswith(".npz"):
        with np.load(path) as arrays:
            variables = {name: arrays[name] for name in arrays.files}
    else:
        variables = _read_checkpoint(str(path))
    variables = {
        name: array
        for name, array in variables.items()
        if name.split("/")[0] not in OF_CHECKPOINTS and OF_OPTIMIZERS not in name
    }
    for start in starts:
        if not any(_is_within(name, start) for name in variables):
            raise ValueError(
                f"Expected variables within {start!r} in {path}. Received: {sorted(variables)}"
            )
    if not starts:
        return variables
    return {n: x for n, x in variables.items() if any(_is_within(n, start) for start in starts)}


def _is_within(name: str, start: str) -> bool:
    return f"{name}/".startswith(f"{start.rstrip('/')}/")


def _read_checkpoint(path: str | Path) -> dict[str, Any]:
    try:
        from keras_attention.migrate.checkpoint_tensorflow import read_checkpoint
    except ImportError as error:
        raise ImportError(
            "Expected TensorFlow to be installed to read one of its checkpoints, or an .npz file "
            f"with the same arrays. Received: path={path!r}"
        ) from error
    return read_checkpoint(path)
