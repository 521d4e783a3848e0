"""WaveNet's block."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import LayerOptions, Shape, Tensor
from keras_attention.layers.convolution.conv_block import ConvBlock
from keras_attention.layers.convolution.dilated_conv import DilatedConv
from keras_attention.layers.validation import check_positive


@keras.saving.register_keras_serializable(package="keras_attention")
class GatedConvBlock(ConvBlock):
    """A gated dilated convolution with a residual and a skip output, as in WaveNet.

        z = tanh(W_f * x + V_f h) . sigmoid(W_g * x + V_g h)
        output = x + P z,   skip = S z

    with * a dilated convolution, P and S linear maps of each step, and h a condition if one is
    given: one for the whole sequence, or one for each step. Biases are left out here.

    Steps: `state = initial_state(batch_size)`, then `y, state = step(x, state)` for each step;
    y holds the outputs.

    Masking: boolean, True = no padding. A masked step counts as 0, as if the sequence had not begun
    yet or were over, and its outputs are 0; what stands there reaches nothing.

    Example:

    ```python
    x = keras.ops.ones((2, 7, 16))
    output, skip = GatedConvBlock(16, kernel_size=2, dilation_rate=4, skip_units=32)(x)
    ```

    Args:
        units: size of z.
        kernel_size: how many steps each output sees.
        dilation_rate: how far apart they are.
        skip_units: size of the skip output; None for no such output.
        residual: whether to make the residual output; False for the last block of a model, which
            reads the skip outputs alone.
        causal: whether no output sees a step after its own.
        dropout: fraction dropped in training of what the convolution reads.

    Call arguments:
        x: `(B, T, D)`.
        mask, x_mask: boolean `(B, T)`, two names for one thing: Keras fills in the one or the
            other.
        condition: `(B, Dh)` or `(B, T, Dh)`; None for none.
        training: whether dropout is active.

    Returns:
        Output `(B, T, D)`; with `skip_units` also the skip `(B, T, skip_units)`, which is alone
        without `residual`.

    Raises:
        ValueError: a size is not a positive integer; neither output is asked for; the sequence is
            not of rank 3; a condition where the layer was built without one.

    Reference: van den Oord et al., 2016, https://arxiv.org/abs/1609.03499, equations 2 and 3 and
    figure 4.
    """

    def __init__(
        self,
        units: int,
        kernel_size: int = 2,
        dilation_rate: int = 1,
        skip_units: int | None = None,
        residual: bool = True,
        causal: bool = True,
        dropout: float = 0.0,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        self.units = check_positive(units=units)
        self.skip_units = None if skip_units is None else check_positive(skip_units=skip_units)
        if not residual and skip_units is None:
            raise ValueError("Expected skip_units without a residual output. Received: None")
        self.residual = residual
        super().__init__(kernel_size, dilation_rate, causal, dropout, **kwargs)
        self.conditioning = None

    def make_convolution(self) -> keras.layers.Layer:
        return DilatedConv(
            2 * self.units,
            self.kernel_size,
            self.dilation_rate,
            self.causal,
            dtype=self.dtype_policy,
            name="filter_and_gate",
        )

    def build(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        self.convolution.build(x_shape)
        gated = (*x_shape[:-1], self.units)
        if self.residual:
            self.residual_dense = self._dense(x_shape[-1], "residual", gated)
        if self.skip_units is not None:
            self.skip_dense = self._dense(self.skip_units, "skip", gated)
        if condition_shape is not None:
            self.conditioning = self._dense(
                2 * self.units, "condition", condition_shape, use_bias=False
            )

    def call(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        x_mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Any:
        return super().call(x, x_mask if mask is None else mask, condition, training)

    def after(
        self, x: Tensor, inner: Any, convolved: Tensor, condition: Tensor | None = None
    ) -> Tensor:
        if condition is not None:
            if self.conditioning is None:
                raise ValueError(
                    "Expected no condition, as the layer was built without one. "
                    f"Received: condition.shape={tuple(condition.shape)}"
                )
            added = self.conditioning(condition)
            convolved = convolved + (
                added if len(added.shape) == len(x.shape) else ops.expand_dims(added, 1)
            )
        signal, gate = ops.split(convolved, 2, axis=-1)
        z = ops.tanh(signal) * ops.sigmoid(gate)
        if not self.residual:
            return self.skip_dense(z)
        output = x + self.residual_dense(z)
        return output if self.skip_units is None else (output, self.skip_dense(z))

    def compute_output_shape(self, x_shape: Shape, condition_shape: Shape | None = None) -> Shape:
        if self.skip_units is None:
            return x_shape
        skip = (*x_shape[:-1], self.skip_units)
        return (x_shape, skip) if self.residual else skip

    def compute_mask(self, x: Tensor, previous_mask: Tensor) -> Tensor | None:
        if self.skip_units is None or not self.residual or previous_mask is None:
            return previous_mask
        return previous_mask, previous_mask

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "skip_units": self.skip_units,
            "residual": self.residual,
        }

    def _dense(
        self, units: int, name: str, shape: Shape, use_bias: bool = True
    ) -> keras.layers.Layer:
        dense = keras.layers.Dense(units, use_bias=use_bias, dtype=self.dtype_policy, name=name)
        dense.build(shape)
        return dense
