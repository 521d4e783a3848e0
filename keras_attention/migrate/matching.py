"""Assignment of arrays to weights, and their loading: of everything or of nothing."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_attention._types import Tensor

# What TensorFlow adds to the name of a variable.
ENDINGS = ("/.ATTRIBUTES/VARIABLE_VALUE", ":0")


class Fill(NamedTuple):
    """A target weight, and the function that converts the source array to it."""

    weight: Any
    convert: Callable[[Any], Any] = np.asarray


class Variable(NamedTuple):
    """A variable of the source.

    Attributes:
        names: what its name ends with, whole parts between slashes, `*` for any letters in a part;
            the name that errors show first.
        shape: its shape.
        fills: the weights that it goes to. None for what changes nothing that a layer puts out.
        required: whether it must be there.
    """

    names: tuple[str, ...]
    shape: tuple[int, ...]
    fills: tuple[Fill, ...]
    required: bool = True


def same(weight: Tensor, *names: Any) -> Variable:
    """The variable that is what a weight of ours is."""
    return Variable(names, tuple(weight.shape), (Fill(weight),))


def check_built(**named: Any) -> None:
    """Raises ValueError unless the layers are built: only then are their shapes known."""
    for name, layer in named.items():
        if not layer.built:
            raise ValueError(
                f"Expected {name} to be built: call it once, or build(...) it. "
                f"Received: {name}={layer!r}"
            )


def load(expected: Iterable[Variable], variables: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Assigns arrays to the weights that they belong to, after all have been found to fit.

    Args:
        expected: the `Variable`s that make a layer.
        variables: a mapping from names to arrays.

    Returns:
        A dict from each name to the paths of the weights that it filled, as a tuple.

    Raises:
        ValueError: one is missing, or there twice, or has another shape, or is not expected. Then
            no weight has changed.
    """
    names = {name: _bare(name) for name in variables}
    found = {}
    for variable in expected:
        matches = [name for name, bare in names.items() if _fits(bare, variable)]
        if len(matches) > 1 or (variable.required and not matches):
            raise ValueError(
                f"Expected one variable named {variable.names[0]}, of shape {variable.shape}. "
                f"Received: {sorted(matches or names)}"
            )
        if matches:
            found[matches[0]] = variable
    surplus = sorted(set(names) - set(found))
    if surplus:
        raise ValueError(
            f"Expected only {[variable.names[0] for variable in expected]}. "
            f"Received: also {surplus}"
        )
    pairs = []
    for name, variable in found.items():
        array = np.asarray(variables[name])
        if array.shape != variable.shape:
            raise ValueError(
                f"Expected {name} of shape {variable.shape}. Received: shape={array.shape}"
            )
        if array.dtype.kind in "OSUb":
            raise ValueError(f"Expected numbers in {name}. Received: dtype={array.dtype}")
        for weight, convert in variable.fills:
            pairs.append((weight, ops.cast(ops.convert_to_tensor(convert(array)), weight.dtype)))
    for weight, value in pairs:
        weight.assign(value)
    return {name: tuple(w.path for w, _ in variable.fills) for name, variable in found.items()}


def _bare(name: str) -> str:
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    return name


def _fits(bare: str, variable: Variable) -> bool:
    patterns = [re.escape(name).replace(r"\*", "[^/]*") for name in variable.names]
    return any(re.search(f"(^|/){pattern}$", bare) for pattern in patterns)
