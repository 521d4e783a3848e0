"""The mask that Keras attaches to a tensor."""

from typing import Any

import keras
from keras import ops

from keras_attention._types import Shape, Tensor


def attached_mask(x: Tensor) -> Tensor | None:
    """The mask that a layer such as `Embedding(mask_zero=True)` attached to `x`; None without one.

    Keras hands such masks to the layers that it calls. Methods that are called directly, such as
    `prepare` of an attention, find them here.
    """
    found = _READER(x)
    return found[0] if found else None


def mask_of(memory: Tensor) -> Tensor | None:
    """The mask `(B, Tv)` of a memory for which none is given: the attached one, or all True."""
    mask = attached_mask(memory)
    return ops.ones(ops.shape(memory)[:2], dtype="bool") if mask is None else mask


class _MaskReader(keras.layers.Layer):
    """A list with the mask that Keras hands over with a tensor, empty if there is none.

    A layer, because where a mask is kept differs by backend, and layers get it on all of them.
    """

    def __init__(self) -> None:
        super().__init__(autocast=False, name="mask_reader")
        self.supports_masking = True

    def build(self, inputs_shape: Shape) -> None:
        pass

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Any:
        return [] if mask is None else [mask]


_READER = _MaskReader()
