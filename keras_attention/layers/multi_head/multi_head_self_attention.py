"""Multi-head attention from a sequence to itself."""

from typing import Any

import keras
from keras import ops

from keras_attention._types import Shape, Tensor
from keras_attention.layers.multi_head.multi_head_base import MultiHeadBase
from keras_attention.layers.validation import in_compute_dtype
from keras_attention.ops import combine_masks
from keras_attention.ops.cache import write_steps
from keras_attention.ops.positions import step_positions


@keras.saving.register_keras_serializable(package="keras_attention")
class MultiHeadSelfAttention(MultiHeadBase):
    """Multi-head scaled dot-product attention of a sequence to itself.

    `MultiHeadCrossAttention` with query = key = value, and the arguments of that layer.

    Masking: `mask` and `query_mask` are two names for the padding mask of the sequence, which hides
    padded steps as values and zeroes them as queries; Keras fills in the one or the other.
    `value_mask` hides further steps as values only. For the rest see `AttentionBase`.

    Steps: `state = initial_state(batch_size, length)` is an empty cache of keys and values, and
    `output, state, weights = step(query, state, position=t)` adds the next steps of the sequence to
    it; the sequence is its own memory, so there is none to `prepare`.

    Example:

    ```python
    tokens = keras.ops.array([[7, 2, 5, 0], [3, 1, 0, 0]])
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

    Call arguments:
        query: the sequence `(B, T, D)`.
        mask, query_mask: `(B, T)`, which steps are no padding.
        value_mask: `(B, T)`, which steps may be attended to.
        attention_mask: `(B, T, T)`, `(T, T)` or `(B, H, T, T)`.
        use_causal_mask, return_attention_scores, training: see `AttentionBase`.
        bias: what is added to the scores, broadcastable to `(B, H, T, T)`, of rank 4.

    Returns:
        Output `(B, T, output_dim)`; with `return_attention_scores` also the weights
        `(B, H, T, T)`.

    Raises:
        ValueError: a size is not a positive integer; `num_heads` is no multiple of
            `num_key_value_heads`; `soft_cap` is not positive; the sequence is not of rank 3.

    Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.2; shared
    heads: Ainslie et al., 2023, https://arxiv.org/abs/2305.13245; window: Beltagy et al., 2020,
    https://arxiv.org/abs/2004.05150; norm: Henry et al., 2020, https://arxiv.org/abs/2010.04245,
    here by the root mean square; for the rest see `keras_attention.ops.dot_product_attention`.
    """

    reads_memory = False

    def build(self, query_shape: Shape) -> None:
        super().build(query_shape, query_shape)

    def call(
        self,
        query: Tensor,
        mask: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
        bias: Tensor | None = None,
    ) -> Any:
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
            bias=bias,
        )

    def initial_state(self, batch_size: Any, length: Any) -> Any:
        """An empty cache for `step`: key `(B, K, L, key_dim)` and value, all 0.

        Args:
            batch_size: number B of sequences.
            length: most steps L that it can hold.
        """
        heads = self.num_key_value_heads or self.num_heads
        dims = {"key": self.key_dim, "value": self.value_dim or self.key_dim}
        return {
            name: ops.zeros((batch_size, heads, length, dim), dtype=self.compute_dtype)
            for name, dim in dims.items()
        }

    def step(
        self,
        query: Tensor,
        state: Any,
        *,
        position: Any,
        cache_mask: Tensor | None = None,
        return_attention_scores: bool = False,
    ) -> tuple[Any, Any, Any]:
        """The next steps of a sequence, with its past in a cache: what decoding calls.

        Equal to those rows of a causal call on the whole sequence. Pure: the cache goes in and
        comes out, its shape stays.

        Args:
            query: the next steps `(B, n, D)`; n is 1 in a decoder, more for a prompt.
            state: the cache, the result of `initial_state` or of the step before.
            position: of the first of these steps: an integer, a scalar tensor, or `(B,)` where the
                sequences differ. `position + n <= L`.
            cache_mask: boolean `(B, L)`, which steps of the cache may be attended to, those that
                are not yet written included; all by default. The mask of a padded prompt.
            return_attention_scores: whether the weights are needed.

        Returns:
            Output `(B, n, output_dim)`, the new cache, and the weights `(B, H, n, L)`, None
            without `return_attention_scores`.
        """
        query = in_compute_dtype(self, query)
        positions = step_positions(ops.shape(query)[1], position)  # (n,) or (B, n)
        state = {
            "key": write_steps(state["key"], self.project_key(query, positions), position),
            "value": write_steps(state["value"], self.project_value(query), position),
        }
        stored = ops.arange(ops.shape(state["key"])[2])
        mask = stored <= ops.expand_dims(positions, -1)
        if self.window is not None:
            mask = ops.logical_and(mask, stored > ops.expand_dims(positions, -1) - self.window)
        output, weights = self._attend_heads(
            query,
            state["key"],
            state["value"],
            return_attention_scores,
            positions=positions,
            mask=self._mask_for_scores(combine_masks(cache_mask, mask)),
        )
        return output, state, weights

    def compute_output_shape(self, query_shape: Shape) -> Shape:
        return self._output_shape(query_shape, query_shape)

    def compute_output_spec(
        self,
        query: Tensor,
        mask: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
        bias: Tensor | None = None,
    ) -> Any:
        return super().compute_output_spec(
            query, query, return_attention_scores=return_attention_scores
        )
