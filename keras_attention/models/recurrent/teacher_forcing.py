"""The loop of an `RNNDecoder` over given tokens, as one operation where there is one for it."""

from typing import Any

from keras import ops

from keras_attention._types import Tensor
from keras_attention.layers import BahdanauAttention, LuongAttention
from keras_attention.ops.recurrent.attention import has_recurrent_attention, recurrent_attention


def can_run_whole(decoder: Any) -> bool:
    """True if `run_whole` has what this decoder needs. The one place that decides.

    A subclass may score in a way of its own, so it does not count as its parent.
    """
    attention = decoder.attention
    return (
        decoder.feeds_context
        and decoder.num_layers == 1
        and has_recurrent_attention(decoder.compute_dtype)
        and attention.compute_dtype == decoder.compute_dtype
        and attention.probability == "softmax"
        and (_is_plain_bahdanau(attention) or _is_product(attention))
    )


def run_whole(decoder: Any, x: Tensor, state: Any, memory: Tensor) -> Tensor:
    """The features `(B, Tt, H + D)` that the general loop would return.

    Args:
        decoder: an `RNNDecoder` for which `can_run_whole` is true.
        x: `(B, Tt, E)`, embedded tokens.
        state: the cells' part of what `decoder.initial_state` returns.
        memory: what `decoder.prepare` returns.
    """
    (cell,) = decoder.cells.cells
    key, value, mask = memory
    query_kernel, key, vector = _score(decoder.attention, key)
    # The cell reads [x; c]: the product splits, and only that with c has to wait for the loop.
    kernel = ops.convert_to_tensor(cell.kernel)
    x_kernel, context_kernel = kernel[: decoder.embedding_dim], kernel[decoder.embedding_dim :]
    inputs = ops.matmul(ops.transpose(x, (1, 0, 2)), x_kernel)
    hidden_kernel, hidden_bias = cell.recurrent_kernel, ops.convert_to_tensor(cell.bias)
    if decoder.cell == "gru":  # whose rows are a bias for inputs and one for states
        inputs, hidden_bias = inputs + hidden_bias[0], hidden_bias[1]
    if query_kernel is not None:
        hidden_kernel = ops.concatenate([hidden_kernel, query_kernel], axis=1)
    hidden, context = recurrent_attention(
        decoder.cell,
        inputs,
        state,
        key,
        value,
        mask,
        context_kernel,
        hidden_kernel,
        hidden_bias,
        vector,
    )
    return ops.transpose(ops.concatenate([hidden, context], axis=-1), (1, 0, 2))


def _is_plain_bahdanau(attention: Any) -> bool:
    # After `quantize` the numbers of the kernel are no longer the kernel.
    return type(attention) is BahdanauAttention and not attention.query_dense.quantization_mode


def _is_product(attention: Any) -> bool:
    return type(attention) is LuongAttention and attention.score in ("dot", "general")


def _score(attention: Any, key: Tensor) -> tuple[Any, Any, Any]:
    """Kernel of the query, key and vector for `recurrent_attention` to score like the layer.

    The key takes up the bias of the query, `(q + b) + k = q + (b + k)`, or the scale of a product.
    """
    if isinstance(attention, BahdanauAttention):
        if attention.normalize:
            key = key + attention.attention_b
        return attention.query_dense.kernel, key, attention.vector()
    return None, key * attention.attention_g if attention.scale else key, None
