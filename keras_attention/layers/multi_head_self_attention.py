"""Multi-head attention from a sequence to itself."""

import keras
from keras import ops

from keras_attention.layers.multi_head_base import MultiHeadBase


@keras.saving.register_keras_serializable(package="keras_attention")
class MultiHeadSelfAttention(MultiHeadBase):
    """Multi-head scaled dot-product attention of a sequence to itself.

    `MultiHeadCrossAttention` with query = key = value, and the arguments of that layer.

    Masking: `mask` and `query_mask` are two names for the padding mask of the sequence, which hides
    padded steps as values and zeroes them as queries; Keras fills in the one or the other.
    `value_mask` hides further steps as values only. For the rest see `AttentionBase`.

    Example:

    ```python
    x = keras.layers.Embedding(1000, 64, mask_zero=True)(tokens)
    y = MultiHeadSelfAttention(num_heads=4, key_dim=16)(x, use_causal_mask=True)
    ```

    Args:
        num_heads: number H of heads.
        key_dim: size of query and key in each head.
        value_dim: size of the value in each head; `key_dim` by default.
        dropout: fraction of the weights dropped in training.
        use_bias: whether the projections have a bias.
        output_dim: size of the output; that of the sequence by default.
        kernel_initializer: initializer of the projections.
        seed: integer that makes the dropout repeatable, or None.

    Call arguments:
        query: the sequence `(B, T, D)`.
        mask, query_mask: `(B, T)`, which steps are no padding.
        value_mask: `(B, T)`, which steps may be attended to.
        attention_mask: `(B, T, T)`, `(T, T)` or `(B, H, T, T)`.
        use_causal_mask, return_attention_scores, training: see `AttentionBase`.

    Returns:
        Output `(B, T, output_dim)`; with `return_attention_scores` also the weights
        `(B, H, T, T)`.

    Raises:
        ValueError: a size is not a positive integer; the sequence is not of rank 3.

    Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.2.
    """

    def build(self, query_shape):
        super().build(query_shape, query_shape)

    def call(
        self,
        query,
        mask=None,
        query_mask=None,
        value_mask=None,
        attention_mask=None,
        use_causal_mask=False,
        return_attention_scores=False,
        training=None,
    ):
        padding = [ops.cast(m, "bool") for m in (mask, query_mask) if m is not None]
        query_mask = ops.logical_and(padding[0], padding[-1]) if padding else None
        return super().call(
            query,
            query,
            query_mask=query_mask,
            value_mask=value_mask,
            key_mask=query_mask,
            attention_mask=attention_mask,
            use_causal_mask=use_causal_mask,
            return_attention_scores=return_attention_scores,
            training=training,
        )

    def compute_output_shape(self, query_shape):
        return self._output_shape(query_shape, query_shape)

    def compute_output_spec(
        self,
        query,
        mask=None,
        query_mask=None,
        value_mask=None,
        attention_mask=None,
        use_causal_mask=False,
        return_attention_scores=False,
        training=None,
    ):
        return super().compute_output_spec(
            query, query, return_attention_scores=return_attention_scores
        )
