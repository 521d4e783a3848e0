"""Multi-head attention from one sequence to another."""

import keras

from keras_attention.layers.multi_head_base import MultiHeadBase


@keras.saving.register_keras_serializable(package="keras_attention")
class MultiHeadCrossAttention(MultiHeadBase):
    """Multi-head scaled dot-product attention from `query` to `value`.

    `head_i = softmax(Q W_i (K U_i)^T / sqrt(key_dim)) V X_i`, and the output is
    `[head_1; ...; head_H] W_o`.

    Compared with `keras.layers.MultiHeadAttention`: the same formula and order of arguments. Here
    an explicit `query_mask` is honoured, a row with nothing to attend to has weights 0 whatever the
    flags, the causal mask is aligned to the end, and scores are float32 at least. `key_dim` is the
    paper's d_k, the size of one head.

    Masking: see `AttentionBase`. The output of a row with nothing to attend to is the bias of the
    output projection: its context is 0.

    Example:

    ```python
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

    Call arguments: see `AttentionBase`; `attention_mask` may also be `(B, H, Tq, Tv)`.

    Returns:
        Output `(B, Tq, output_dim)`; with `return_attention_scores` also the weights
        `(B, H, Tq, Tv)`.

    Raises:
        ValueError: a size is not a positive integer; an input is not of rank 3.

    Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.2.2.
    """
