"""The block of ConvS2S: a convolution with a gated linear unit."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import LayerOptions, Shape, Tensor
from keras_attention.layers.convolution.conv_block import ConvBlock
from keras_attention.layers.convolution.dilated_conv import DilatedConv
from keras_attention.layers.validation import check_positive


@keras.saving.register_keras_serializable(package="keras_attention")
class ConvGluBlock(ConvBlock):
    """A convolution with a gated linear unit and a residual connection, as in ConvS2S.

        [a; b] = W * x
        y = sqrt(1/2) (x + a . sigmoid(b))

    with * the convolution and the input as wide as the output. The factor keeps the variance of
    the sum at that of its parts, and the first weights are such that a gate keeps it, too. The bias
    is left out here.

    A decoder that reads a memory between gate and sum calls `gate` and `join` itself.

    Steps: `state = initial_state(batch_size)`, then `y, state = step(x, state)` for each step.

    Masking: boolean, True = no padding. A masked step counts as 0, as if the sequence had not begun
    yet or were over, and its output is 0; what stands there reaches nothing.

    Example:

    ```python
    x = keras.ops.ones((2, 7, 16))
    y = ConvGluBlock(16, kernel_size=3, causal=False)(x)
    ```

    Args:
        units: size of input and output.
        kernel_size: how many steps each output sees.
        dilation_rate: how far apart they are.
        causal: whether no output sees a step after its own.
        dropout: fraction dropped in training of what the convolution reads.

    Call arguments:
        x: `(B, T, units)`.
        mask: boolean `(B, T)`; all True by default.
        training: whether dropout is active.

    Returns:
        `(B, T, units)`.

    Raises:
        ValueError: a size is not a positive integer; the sequence is not of rank 3, or not `units`
            wide.

    Reference: Gehring et al., 2017, https://arxiv.org/abs/1705.03122, sections 3.2, 3.4 and 3.5;
    gated linear unit: Dauphin et al., 2017, https://arxiv.org/abs/1612.08083, equation 1.
    """

    def __init__(
        self,
        units: int,
        kernel_size: int = 3,
        dilation_rate: int = 1,
        causal: bool = True,
        dropout: float = 0.0,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        self.units = check_positive(units=units)
        super().__init__(kernel_size, dilation_rate, causal, dropout, **kwargs)

    def make_convolution(self) -> keras.layers.Layer:
        # A gate halves what goes through, and its square quarters the variance.
        initializer = keras.initializers.VarianceScaling(4 * (1 - self.dropout), "fan_in")
        return DilatedConv(
            2 * self.units,
            self.kernel_size,
            self.dilation_rate,
            self.causal,
            kernel_initializer=initializer,
            dtype=self.dtype_policy,
            name="convolution",
        )

    def build(self, x_shape: Shape) -> None:
        if x_shape[-1] != self.units:
            raise ValueError(
                f"Expected a sequence as wide as the output, units={self.units}. "
                f"Received: x.shape={tuple(x_shape)}"
            )
        self.convolution.build(x_shape)

    def gate(self, convolved: Tensor) -> Tensor:
        """`a . sigmoid(b)` of what the convolution gives."""
        signal, gate = ops.split(convolved, 2, axis=-1)
        return signal * ops.sigmoid(gate)

    def join(self, x: Tensor, added: Any) -> Tensor:
        """`sqrt(1/2) (x + added)`."""
        return (x + added) * 0.5**0.5

    def after(
        self, x: Tensor, inner: Any, convolved: Tensor, condition: Tensor | None = None
    ) -> Tensor:
        return self.join(x, self.gate(convolved))

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        return x_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}
