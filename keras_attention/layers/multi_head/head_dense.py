"""The projections of a layer with heads: into the heads, and out of them.

As `EinsumDense`, whose weights they have, but computed as one product of two matrices, which
TensorFlow runs faster than the einsum.
"""

from typing import Any

import keras
from keras import ops

from keras_attention._types import Tensor


class _Product(keras.layers.EinsumDense):
    """The base: what both directions have in common."""

    def quantize(
        self, mode: Any = None, type_check: bool = True, config: dict[str, Any] | None = None
    ) -> None:
        # Keras refuses subclasses, which may compute something else. Quantized, this one computes
        # what its parent does.
        super().quantize(mode, type_check=False, config=config)


class IntoHeads(_Product):
    """`(B, T, D)` to `(B, H, T, K)`: the layout that scores want."""

    def __init__(self, heads: Any, dim: Any, use_bias: bool = True, **kwargs: Any) -> None:
        bias_axes = "hk" if use_bias else None
        super().__init__("btd,dhk->bhtk", (heads, None, dim), bias_axes=bias_axes, **kwargs)

    def call(self, inputs: Tensor, training: bool | None = None) -> Any:
        size, heads, dim = self.kernel.shape
        batch, steps, _ = ops.shape(inputs)
        rows = _product(inputs, size, self.kernel, self.bias)
        if heads == 1:  # no transpose that is only a reshape: tf2onnx joins the two wrongly
            return ops.reshape(rows, (batch, heads, steps, dim))
        return ops.transpose(ops.reshape(rows, (batch, steps, heads, dim)), (0, 2, 1, 3))


class OutOfHeads(_Product):
    """`(B, H, T, K)` to `(B, T, D)`."""

    def __init__(self, output_dim: int, use_bias: bool = True, **kwargs: Any) -> None:
        bias_axes = "d" if use_bias else None
        super().__init__("bhtk,hkd->btd", (None, output_dim), bias_axes=bias_axes, **kwargs)

    def call(self, inputs: Tensor, training: bool | None = None) -> Any:
        heads, dim, output_dim = self.kernel.shape
        batch, _, steps, _ = ops.shape(inputs)
        rows = _product(ops.transpose(inputs, (0, 2, 1, 3)), heads * dim, self.kernel, self.bias)
        return ops.reshape(rows, (batch, steps, output_dim))


def _product(inputs: Tensor, size: Any, kernel: Tensor, bias: Tensor) -> Tensor:
    """Rows of `size` numbers times the kernel, plus the bias: of any shape, as matrices."""
    kernel = ops.convert_to_tensor(kernel)
    found = ops.matmul(ops.reshape(inputs, (-1, size)), ops.reshape(kernel, (size, -1)))
    return found if bias is None else found + ops.reshape(ops.convert_to_tensor(bias), (-1,))
