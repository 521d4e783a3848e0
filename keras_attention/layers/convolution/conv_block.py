"""Base class of the blocks around a dilated convolution."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import LayerOptions, Tensor
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.quantized_parts import QuantizedParts
from keras_attention.layers.validation import in_compute_dtype
from keras_attention.ops import zero_masked


class ConvBlock(CheckedCall, QuantizedParts, keras.layers.Layer):
    """A convolution between two functions of single steps, `before` and `after`; the base class.

        h = before(x)
        y = after(x, h, convolution(h))

    A block makes its convolution with `make_convolution`, and implements `before` and `after`. Both
    take sequences `(B, T, D)` and steps `(B, D)` alike, so that the pass over a sequence and
    `step` compute the same formula.

    Steps: `state = initial_state(batch_size)`, or after a prompt `y, state = prepare(x, lengths)`,
    then `y, state = step(x, state)` for each step.
    """

    def __init__(
        self,
        kernel_size: int,
        dilation_rate: int = 1,
        causal: bool = True,
        dropout: float = 0.0,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.kernel_size = kernel_size
        self.dilation_rate = dilation_rate
        self.causal = causal
        self.dropout = dropout
        self.drop = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="dropout")
        self.convolution = self.make_convolution()

    def make_convolution(self) -> keras.layers.Layer:
        """The `DilatedConv`."""
        raise NotImplementedError(f"{type(self).__name__} must define `make_convolution`.")

    def before(self, x: Tensor) -> Tensor:
        """Input of the convolution, computed from each step alone."""
        return x

    def after(
        self, x: Tensor, inner: Any, convolved: Tensor, condition: Tensor | None = None
    ) -> Tensor:
        """The output, of each step alone: a tensor or a tuple of them."""
        raise NotImplementedError(f"{type(self).__name__} must define `after`.")

    @property
    def offsets(self) -> Any:
        """Offsets of the steps that an output depends on: a tuple, ascending, 0 for its own."""
        return tuple(sorted({0, *self.convolution.offsets}))

    @property
    def receptive_field(self) -> int:
        """Number of steps between the first and the last that an output depends on, both
        counted: `1 + (kernel_size - 1) dilation_rate`."""
        return self.convolution.span + 1

    def call(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        training: bool | None = None,
    ) -> Any:
        return self.prepare(x, None, mask, condition, training)[0]

    def prepare(
        self,
        x: Tensor,
        lengths: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        training: bool | None = None,
    ) -> tuple[Any, Any]:
        """Output of the call on a prompt, and the state after its first `lengths` int `(B,)` steps.

        The state, with which `step` goes on, is None where `lengths` is None.
        """
        x, condition = in_compute_dtype(self, x), in_compute_dtype(self, condition)
        mask = None if mask is None else ops.cast(mask, "bool")
        if mask is not None:
            x = zero_masked(x, mask)
            if condition is not None and len(condition.shape) == 3:
                condition = zero_masked(condition, mask)
        inner = self.drop(self.before(x), training=training)
        convolved, state = self.convolution.prepare(inner, lengths, mask)
        y = self.after(x, inner, convolved, condition)
        if mask is not None:
            y = keras.tree.map_structure(lambda part: zero_masked(part, mask), y)
        return y, state

    def initial_state(self, batch_size: Any) -> Any:
        """State before the first step, all 0: the buffer of the convolution, `(B, span, D)`."""
        return self.convolution.initial_state(batch_size)

    def step(self, x: Tensor, state: Any, condition: Tensor | None = None) -> tuple[Any, Any]:
        """Output of the next step `(B, D)`, and the new state, of the same shape as the old.

        Equal to that step of a call on the whole sequence. `condition` is of this step alone.
        """
        x, condition = in_compute_dtype(self, x), in_compute_dtype(self, condition)
        inner = self.before(x)
        convolved, state = self.convolution.step(inner, state)
        return self.after(x, inner, convolved, condition), state

    def compute_mask(self, x: Tensor, previous_mask: Tensor) -> Tensor | None:
        return previous_mask

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "causal": self.causal,
            "dropout": self.dropout,
        }


def stacked_offsets(blocks: Any) -> Any:
    """Offsets of an output of the last of `blocks`: sums of one offset of each."""
    sums = {0}
    for block in blocks:
        sums = {a + b for a in sums for b in block.offsets}
    return tuple(sorted(sums))
