"""ByteNet's residual block."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import LayerOptions, Shape, Tensor
from keras_attention.layers.convolution.conv_block import ConvBlock
from keras_attention.layers.convolution.dilated_conv import DilatedConv
from keras_attention.layers.validation import check_positive

KINDS = ("relu", "multiplicative")


@keras.saving.register_keras_serializable(package="keras_attention")
class ByteNetBlock(ConvBlock):
    """A residual block around a dilated convolution, as in ByteNet; masked if `causal`.

    With LN a layer norm, * the dilated convolution and A, B linear maps of each step:

        h = relu(LN(A relu(LN(x))))
        y = x + B relu(LN(W * h))                      kind="relu"
        y = x + B (g1 . tanh(g2 . h + g3 . u))         kind="multiplicative"

    where the multiplicative unit has three gates `g_i = sigmoid(LN(W_i * h))` and an update
    `u = tanh(LN(W_4 * h))`. Biases are left out here.

    Steps: `state = initial_state(batch_size)`, then `y, state = step(x, state)` for each step.

    Masking: boolean, True = no padding. A masked step counts as 0, as if the sequence had not begun
    yet or were over, and its output is 0; what stands there reaches nothing.

    Example:

    ```python
    x = keras.ops.ones((2, 7, 32))
    y = ByteNetBlock(16, kernel_size=3, dilation_rate=4, causal=False)(x)
    ```

    Args:
        units: size of h; the paper's x is twice as wide.
        kernel_size: how many steps each output sees.
        dilation_rate: how far apart they are.
        causal: whether no output sees a step after its own.
        kind: `"relu"` or `"multiplicative"`.
        dropout: fraction dropped in training of what the convolution reads.

    Call arguments:
        x: `(B, T, D)`.
        mask: boolean `(B, T)`; all True by default.
        training: whether dropout is active.

    Returns:
        `(B, T, D)`.

    Raises:
        ValueError: a size is not a positive integer; unknown `kind`; the sequence is not of rank 3.

    Reference: Kalchbrenner et al., 2016, https://arxiv.org/abs/1610.10099, section 3.6 and
    figure 3; multiplicative unit: Kalchbrenner et al., 2016, https://arxiv.org/abs/1610.00527,
    section 4.1.
    """

    def __init__(
        self,
        units: int,
        kernel_size: int = 3,
        dilation_rate: int = 1,
        causal: bool = True,
        kind: str = "relu",
        dropout: float = 0.0,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"Expected kind to be one of {KINDS}. Received: kind={kind!r}")
        self.units = check_positive(units=units)
        self.kind = kind
        super().__init__(kernel_size, dilation_rate, causal, dropout, **kwargs)

    def make_convolution(self) -> keras.layers.Layer:
        return DilatedConv(
            self.units if self.kind == "relu" else 4 * self.units,
            self.kernel_size,
            self.dilation_rate,
            self.causal,
            dtype=self.dtype_policy,
            name="convolution",
        )

    def build(self, x_shape: Shape) -> None:
        inner = (*x_shape[:-1], self.units)
        self.input_norm = self._norm("input_norm", x_shape)
        self.reduce = self._dense(self.units, "reduce", x_shape)
        self.reduced_norm = self._norm("reduced_norm", inner)
        self.convolution.build(inner)
        count = 1 if self.kind == "relu" else 4
        self.convolved_norms = [self._norm(f"convolved_norm_{i}", inner) for i in range(count)]
        self.expand = self._dense(x_shape[-1], "expand", inner)

    def before(self, x: Tensor) -> Tensor:
        reduced = self.reduce(ops.relu(_normalized(self.input_norm, x)))
        return ops.relu(_normalized(self.reduced_norm, reduced))

    def after(
        self, x: Tensor, inner: Any, convolved: Tensor, condition: Tensor | None = None
    ) -> Tensor:
        if self.kind == "relu":
            return x + self.expand(ops.relu(_normalized(self.convolved_norms[0], convolved)))
        parts = ops.split(convolved, 4, axis=-1)
        parts = [_normalized(n, part) for n, part in zip(self.convolved_norms, parts, strict=True)]
        first, second, third = (ops.sigmoid(part) for part in parts[:3])
        update = ops.tanh(parts[3])
        return x + self.expand(first * ops.tanh(second * inner + third * update))

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        return x_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "kind": self.kind}

    def _norm(self, name: str, shape: Shape) -> keras.layers.Layer:
        norm = keras.layers.LayerNormalization(epsilon=1e-5, dtype=self.dtype_policy, name=name)
        norm.build(shape)
        return norm

    def _dense(self, units: int, name: str, shape: Shape) -> keras.layers.Layer:
        dense = keras.layers.Dense(units, dtype=self.dtype_policy, name=name)
        dense.build(shape)
        return dense


def _normalized(norm: Any, x: Tensor) -> Tensor:
    """A sequence, or a step as a sequence of one: from Keras 3.16 on a norm takes the rank that it
    was built for and no other."""
    return norm(x) if len(x.shape) == 3 else ops.squeeze(norm(ops.expand_dims(x, 1)), 1)
