"""Multi-head attention from one sequence to another."""

from typing import Any

import keras

from keras_attention._types import Tensor
from keras_attention.layers.multi_head.multi_head_base import MultiHeadBase


@keras.saving.register_keras_serializable(package="keras_attention")
class MultiHeadCrossAttention(MultiHeadBase):
    """Multi-head scaled dot-product attention from `query` to `value`.

    `head_i = softmax(Q W_i (K U_i)^T / sqrt(key_dim)) V X_i`, and the output is
    `[head_1; ...; head_H] W_o`.

    Compared with `keras.layers.MultiHeadAttention`: the same formula and order of arguments. Here
    an explicit `query_mask` is honoured, a row with nothing to attend to has weights 0 whatever the
    flags, the causal mask is aligned to the end, and scores are float32 at least. `key_dim` is the
    paper's d_k, the size of one head.

    Unless the weights are asked for, memory grows with the lengths and not with their product: see
    `keras_attention.ops.dot_product_attention`.

    Masking: see `AttentionBase`. The output of a row with nothing to attend to is the bias of the
    output projection: its context is 0.

    Example:

    ```python
    query, memory = keras.ops.ones((2, 3, 32)), keras.ops.ones((2, 5, 48))
    attention = MultiHeadCrossAttention(num_heads=8, key_dim=64)
    output, weights = attention(query, memory, return_attention_scores=True)
    ```

    Args:
        num_heads: number H of heads.
        key_dim: size of query and key in each head.
        value_dim: size of the value in each head; `key_dim` by default.
        dropout: fraction of the weights dropped in training.
        use_bias: whether the projections have a bias.
        output_dim: size of the output; that of the query by default.
        kernel_initializer: initializer of the projections.
        seed: integer that makes the dropout repeatable, or None.
        num_key_value_heads: number K of heads of key and value, each shared by H / K heads of the
            query (grouped-query attention; 1: multi-query); `num_heads` by default.
        window: how many positions a query sees at most on each side, its own counted: with the
            causal mask its own and the `window - 1` before it. Positions are aligned to the end.
            None for all.
        qk_norm: whether query and key are divided by their root mean square in each head, with a
            learned scale for each feature.
        soft_cap: number c that keeps scores within -c and c, as `c tanh(score / c)`, before any
            bias. None for no cap.
        sinks: whether each head has a learned score for attending to nothing: the weights of a
            query then sum to less than 1.
        position_bias: a layer that gives what is added to the scores: called with the positions of
            queries `(Tq,)`, in a cache also `(B, Tq)`, and of values `(Tv,)`, it returns
            `(H, Tq, Tv)` or a tensor that broadcasts to `(B, H, Tq, Tv)`. None for no bias.
        rotary: a layer that turns queries and keys by their positions: called with the projected
            query or key `(B, H, T, key_dim)` and these positions, it returns the same shape. See
            `RotaryPositions`. None for none.
        bias_initializer: initializer of the biases of the projections.
        kernel_regularizer: regularizer of the kernel of each projection.
        bias_regularizer: regularizer of the bias of each projection.
        kernel_constraint: constraint on the kernel of each projection.
        bias_constraint: constraint on the bias of each projection.

    Call arguments: see `AttentionBase`; `attention_mask` may also be `(B, H, Tq, Tv)`, and
        bias: what is added to the scores, broadcastable to `(B, H, Tq, Tv)`, of rank 4.

    Returns:
        Output `(B, Tq, output_dim)`; with `return_attention_scores` also the weights
        `(B, H, Tq, Tv)`.

    Raises:
        ValueError: a size is not a positive integer; `num_heads` is no multiple of
            `num_key_value_heads`; `soft_cap` is not positive; an input is not of rank 3.

    Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.2.2; shared
    heads: Ainslie et al., 2023, https://arxiv.org/abs/2305.13245; window: Beltagy et al., 2020,
    https://arxiv.org/abs/2004.05150; norm: Henry et al., 2020, https://arxiv.org/abs/2010.04245,
    here by the root mean square; for the rest see `keras_attention.ops.dot_product_attention`.
    """

    def call(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
        bias: Tensor | None = None,
    ) -> Any:
        return super().call(
            query,
            value,
            key,
            query_mask=query_mask,
            value_mask=value_mask,
            key_mask=key_mask,
            attention_mask=attention_mask,
            use_causal_mask=use_causal_mask,
            return_attention_scores=return_attention_scores,
            training=training,
            bias=bias,
        )
