"""Feature sizes that a graph leaves open, taken from what a layer was built for."""

from typing import Any

from keras import ops

from keras_attention._types import Tensor

# Arguments whose last axis is features; that of masks, weights and token ids is steps.
_FEATURES = ("query", "value", "key", "inputs", "x", "memory")


def with_feature_sizes(layer: Any, given: Any) -> Any:
    """The arguments of a call, with the last axis of each sequence as the layer was built.

    Keras' `Dense` needs no size once it is built; what compares or reshapes needs one.

    Args:
        layer: the layer that is called.
        given: its arguments by name.

    Returns:
        A dict of those arguments that were changed, by name.
    """
    unknown = [name for name in _FEATURES if _is_unknown(given.get(name))]
    if not unknown or not layer.built:
        return {}
    config = layer.get_build_config() or {}
    shapes = config.get("shapes_dict") or {"": config.get("input_shape")}
    changed = {}
    for name in unknown:
        shape = shapes.get(f"{name}_shape") or shapes.get("")
        if shape and len(shape) == len(given[name].shape) and shape[-1] is not None:
            known = (*ops.shape(given[name])[:-1], shape[-1])
            changed[name] = ops.reshape(given[name], known)
    return changed


def _is_unknown(x: Tensor) -> bool:
    try:
        return len(x.shape) > 2 and x.shape[-1] is None
    except (AttributeError, TypeError, ValueError):  # no tensor, or one of unknown rank
        return False
