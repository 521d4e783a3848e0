"""A convolution over the steps of a sequence, in one pass or step by step."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import Initializer, LayerOptions, Shape, Tensor
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.validation import check_positive, in_compute_dtype
from keras_attention.ops import zero_masked


@keras.saving.register_keras_serializable(package="keras_attention")
class DilatedConv(CheckedCall, keras.layers.Layer):
    """A dilated convolution over the steps of a sequence, as long as the sequence.

        y_t = b + sum_j W_j x_{t + o_j}

    with the offsets o_j of `offsets`, `dilation_rate` apart: the last is 0 if `causal`, else they
    lie around 0. What lies before the first step and after the last counts as 0. The weights are
    those of `keras.layers.Conv1D`; the kernel has shape `(kernel_size, D, filters)`.

    Steps: `state = initial_state(batch_size)`, or after a prompt `y, state = prepare(x, lengths)`,
    then `y, state = step(x, state)` for each step.

    Masking: boolean, True = no padding. A masked step counts as 0, as if the sequence had not
    begun yet or were over, and its output is 0; what stands there reaches nothing.

    Example:

    ```python
    x = keras.ops.ones((2, 7, 16))
    convolution = DilatedConv(32, kernel_size=3, dilation_rate=2)
    y = convolution(x)  # (2, 7, 32)
    first, state = convolution.step(x[:, 0], convolution.initial_state(2))  # y[:, 0]
    ```

    Args:
        filters: size of the output.
        kernel_size: how many steps each output sees.
        dilation_rate: how far apart they are.
        causal: whether none of them comes after the output's own step.
        use_bias: whether to add b.
        kernel_initializer: initializer of W.

    Call arguments:
        x: `(B, T, D)`.
        mask: boolean `(B, T)`; all True by default.

    Returns:
        `(B, T, filters)`.

    Raises:
        ValueError: a size is not a positive integer; the sequence is not of rank 3.

    Reference: van den Oord et al., 2016, https://arxiv.org/abs/1609.03499, section 2.1.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        dilation_rate: int = 1,
        causal: bool = True,
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.filters = check_positive(filters=filters)
        self.kernel_size = check_positive(kernel_size=kernel_size)
        self.dilation_rate = check_positive(dilation_rate=dilation_rate)
        self.causal = causal
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.convolution = keras.layers.Conv1D(
            filters,
            kernel_size,
            dilation_rate=dilation_rate,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            dtype=self.dtype_policy,
            name="convolution",
        )

    def build(self, x_shape: Shape) -> None:
        _check_rank(x_shape)
        self._input_dim = x_shape[-1]
        self.convolution.build((x_shape[0], None, x_shape[-1]))  # padded, it is long enough

    @property
    def span(self) -> int:
        """Number of steps between the first and the last that an output sees."""
        return (self.kernel_size - 1) * self.dilation_rate

    @property
    def offsets(self) -> Any:
        """Offsets of the steps that an output sees: a tuple, ascending, 0 for its own."""
        first = -self._steps_before()
        return tuple(first + i * self.dilation_rate for i in range(self.kernel_size))

    def call(self, x: Tensor, mask: Tensor | None = None) -> Any:
        _check_rank(x.shape)
        mask = None if mask is None else ops.cast(mask, "bool")
        x = in_compute_dtype(self, x)
        x = x if mask is None else zero_masked(x, mask)
        before, after = self._steps_before(), self.span - self._steps_before()
        if x.shape[1] == 0:  # Keras' convolution wants a step: one more, which is not kept
            x = ops.pad(x, [[0, 0], [before, after + 1], [0, 0]])
            return self.convolution(x)[:, :0]
        y = self.convolution(ops.pad(x, [[0, 0], [before, after], [0, 0]]))
        return y if mask is None else zero_masked(y, mask)

    def prepare(self, x: Tensor, lengths: Tensor, mask: Tensor | None = None) -> tuple[Any, Any]:
        """Output of the call on a prompt, and the state after its first `lengths` int `(B,)` steps.

        The state is None where `lengths` is None.
        """
        y = self(x, mask=mask)
        if lengths is None:
            return y, None
        x = x if mask is None else zero_masked(x, ops.cast(mask, "bool"))
        x = ops.pad(x, [[0, 0], [self.span, 0], [0, 0]])
        steps = ops.expand_dims(ops.cast(lengths, "int32"), 1) + ops.arange(
            self.span, dtype="int32"
        )
        x = ops.cast(x, self.compute_dtype)
        return y, ops.take_along_axis(x, ops.expand_dims(steps, -1), axis=1)

    def initial_state(self, batch_size: Any) -> Tensor:
        """State before the first step, all 0: the inputs that it looks back on, `(B, span, D)`."""
        return ops.zeros((batch_size, self.span, self._input_dim), dtype=self.compute_dtype)

    def step(self, x: Tensor, state: Any) -> tuple[Any, Any]:
        """Output of the next step, given that step and the state, which holds those before.

        Args:
            x: the next step `(B, D)`.
            state: the result of `initial_state`, of `prepare` or of the step before.

        Returns:
            `(B, filters)` and the new state, of the same shape as the old.
        """
        if not self.causal:
            raise ValueError(
                "Expected a causal convolution; of another one an output depends on steps that "
                "are yet to come. Received: causal=False"
            )
        seen = ops.concatenate([state, ops.expand_dims(ops.cast(x, state.dtype), 1)], axis=1)
        taken = seen[:, :: self.dilation_rate]  # (B, kernel_size, D)
        taken = ops.reshape(taken, (-1, self.kernel_size * self._input_dim))
        kernel = ops.reshape(self.convolution.kernel, (-1, self.filters))
        y = ops.matmul(taken, ops.cast(kernel, taken.dtype))
        if self.use_bias:
            y = y + ops.cast(self.convolution.bias, y.dtype)
        return y, seen[:, 1:]

    def compute_output_shape(self, x_shape: Shape) -> Shape:
        return (*x_shape[:-1], self.filters)

    def compute_mask(self, x: Tensor, previous_mask: Tensor) -> Tensor | None:
        return previous_mask

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "dilation_rate": self.dilation_rate,
            "causal": self.causal,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }

    def _steps_before(self) -> Any:
        """Number of steps back that an output sees. Of an even number, one more comes after it."""
        return self.span if self.causal else (self.kernel_size - 1) // 2 * self.dilation_rate


def _check_rank(shape: Shape) -> None:
    if len(shape) != 3:
        raise ValueError(
            "Expected a sequence of rank 3, (batch, steps, features). "
            f"Received: x.shape={tuple(shape)}"
        )
