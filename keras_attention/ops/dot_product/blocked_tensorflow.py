"""Dot-product attention on TensorFlow in blocks: its memory grows with the length, not its square.

No block of scores outlives its use. Forward, the softmax is kept up to date while key blocks pass
by (online softmax: Milakov and Gimelshein, 2018, https://arxiv.org/abs/1805.02867); for the way
back, only the output and the log of each row's sum are kept and the blocks are computed again (Dao
et al., 2022, FlashAttention, https://arxiv.org/abs/2205.14135, algorithms 1 and 4).

Loops are `tf.while_loop` over TensorArrays, which TensorFlow Serving runs and XLA compiles. In the
files beside this one: how a call is cut (`tiling`), which blocks a query sees (`block_range`), what
is computed of one block (`block`), and the loops over blocks (`forward`, `backward`).
"""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_attention._types import Tensor
from keras_attention.ops.dot_product.backward_tensorflow import backward
from keras_attention.ops.dot_product.block_tensorflow import TiledAttention
from keras_attention.ops.dot_product.forward_tensorflow import forward


def blocked_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    bias: Tensor,
    sinks: Any,
    nonfinite: Tensor,
    seed: Any,
    *,
    causal: bool,
    window: int | None,
    soft_cap: float | None,
    dropout: float,
    block: Tensor | None = None,
) -> Tensor:
    """Context `(B, H, Tq, Dv)`: see `keras_attention.ops.dot_product_attention`.

    Args:
        nonfinite: boolean `(B, K, Tv)`, keys or values that held a NaN or an infinity before they
            were cleaned, or None. Who may see one gets NaN.
        seed: integers `(2,)` for the dropout, or None.
        block: most rows and most columns of a block; by default what was measured to be fastest.
        The rest: as for that function, with masks and biases of rank 4.
    """
    attend = _attend_in_graph if tf.executing_eagerly() else _attend
    options = {"causal": causal, "window": window, "soft_cap": soft_cap, "dropout": dropout}
    return attend(query, key, value, mask, bias, sinks, nonfinite, seed, block=block, **options)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    bias: Tensor,
    sinks: Any,
    nonfinite: Tensor,
    seed: Any,
    *,
    block: Tensor,
    **options: Any,
) -> Tensor:
    given = {"query": query, "key": key, "value": value, "bias": bias, "sinks": sinks}
    given = {name: tensor for name, tensor in given.items() if tensor is not None}

    @tf.custom_gradient
    def attend(*tensors: Any) -> tuple[Any, Any]:
        blocks = TiledAttention(
            **dict(zip(given, tensors, strict=True)),
            mask=mask,
            nonfinite=nonfinite,
            seed=seed,
            size=block,
            **options,
        )
        output, logs, sees_nonfinite = forward(blocks)
        shown = output
        if sees_nonfinite is not None:
            shown = tf.where(sees_nonfinite, tf.constant(np.nan, output.dtype), output)

        def gradient(d_output: Tensor) -> Tensor:
            if sees_nonfinite is not None:
                d_output = tf.where(sees_nonfinite, tf.zeros([], d_output.dtype), d_output)
            return _once(blocks, d_output, output, logs, tensors)

        return shown, gradient

    return attend(*given.values())


# Without it, each block would be a dozen calls from Python.
_attend_in_graph = tf.function(_attend, autograph=False)


def _once(
    blocks: Tensor, d_output: Tensor, output: Any, logs: dict[str, float], tensors: Tensor
) -> Tensor:
    """`backward(blocks, ...)`, which must not be differentiated again."""

    @tf.custom_gradient
    def first_order(
        d_output: Tensor, output: Any, logs: dict[str, float], *tensors: Any
    ) -> tuple[Any, Any]:
        def second_order(*_: Any) -> Any:
            raise NotImplementedError(
                "Expected first-order gradients of blocked dot-product attention. For gradients of "
                "gradients ask for the weights, return_attention_scores=True: no blocks then."
            )

        return backward(blocks, d_output, output, logs), second_order

    return first_order(d_output, output, logs, *tensors)
