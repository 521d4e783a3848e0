"""Token ids from outside: those that are no token of the vocabulary are refused."""

import keras
import numpy as np
from keras import ops

from keras_attention._known import known_values
from keras_attention._types import Tensor
from keras_attention._xla import compiled_by_xla

NARROW = ("bool", "int8", "uint8", "int16", "uint16")


def check_token_ids(
    ids: Tensor, size: int | None, mask: Tensor | None = None, name: str = "ids"
) -> tuple[Tensor, Tensor | None]:
    """Refuses ids below 0 or from `size` on. A look-up reads some of them from the other end.

    Args:
        ids: int `(B, ...)`.
        size: number of tokens; None refuses nothing from above.
        mask: boolean, as the ids, True = counts; what does not count may be anything.
        name: of the ids, for the message.

    Returns:
        The ids, int32, 0 where they do not count; and None, or booleans of the same shape that
        say which are none: where XLA or JAX compiles, no function can raise, and what is made of
        such an id has to become NaN (see `spoil`).

    Raises:
        ValueError: an id is none, and its value is known while Python runs. In a graph of
            TensorFlow it is an InvalidArgumentError of the run.
    """
    ids = ops.convert_to_tensor(ids)
    if keras.backend.standardize_dtype(ids.dtype) in NARROW:
        ids = ops.cast(ids, "int32")  # else the size of the vocabulary would overflow
    if mask is not None:
        ids = ops.where(mask, ids, ops.zeros((), ids.dtype))
    inside = ids >= 0 if size is None else ops.logical_and(ids >= 0, ids < size)
    outside = ops.logical_not(inside)
    most = "" if size is None else f" and below {size}"
    known = known_values(outside)
    if known is not None:
        if np.any(known):
            wrong = ops.convert_to_numpy(ids)[known].flat[0]
            raise ValueError(f"Expected {name} from 0{most}. Received: {name}={wrong}")
        outside = None
    elif keras.backend.backend() == "tensorflow" and not compiled_by_xla():
        import tensorflow as tf

        if not isinstance(outside, keras.KerasTensor):
            message = f"Expected {name} from 0{most}. Received: {name}="
            are_all = tf.logical_not(tf.reduce_any(outside))
            first = tf.boolean_mask(ids, outside)[:1]
            # No look-up before this: its own error would be another for each device.
            with tf.control_dependencies([tf.debugging.Assert(are_all, [message, first])]):
                ids = tf.identity(ids)
            outside = None
    return ops.cast(ids, "int32"), outside


def spoil(x: Tensor, outside: Tensor | None) -> Tensor:
    """`x (..., D)` with NaN where `outside (...)`; nothing happens for None."""
    return x if outside is None else ops.where(outside[..., None], float("nan"), x)
