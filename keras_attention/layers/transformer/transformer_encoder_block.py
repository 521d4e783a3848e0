"""One block of a Transformer's encoder."""

from typing import Any

import keras

from keras_attention._types import Shape, Tensor
from keras_attention.layers.transformer.transformer_block_base import TransformerBlockBase, merged
from keras_attention.layers.validation import in_compute_dtype
from keras_attention.ops import zero_masked


@keras.saving.register_keras_serializable(package="keras_attention")
class TransformerEncoderBlock(TransformerBlockBase):
    """Self-attention and a feed-forward network at each step, each within a residual.

        norm="pre"                                norm="post" (as in the paper)
        x = x + attention(norm(x))                x = norm(x + attention(x))
        x = x + W_2 f(W_1 norm(x))                x = norm(x + W_2 f(W_1 x))

    After the last block of the first kind comes one more norm, which is not part of it.

    Masking: `mask` and `inputs_mask` are two names for the padding mask of the sequence, of which
    Keras fills in the one or the other. Padding is not attended to, reaches no output and no
    gradient; its own output is 0, and the mask travels on with the output.

    Example:

    ```python
    tokens = keras.ops.array([[7, 2, 5, 0], [3, 1, 0, 0]])
    x = keras.layers.Embedding(1000, 64, mask_zero=True)(tokens)
    options = {"rotary": RotaryPositions(), "num_key_value_heads": 2}
    block = TransformerEncoderBlock(4, 16, 256, attention_options=options)
    y = block(x)
    ```

    Args:
        num_heads: number H of heads.
        key_dim: size of query, key and value in each head.
        feedforward_dim: size of the inner layer at each step.
        norm: `"pre"`, which trains without warm-up, or `"post"`.
        activation: f, a name or a function.
        dropout: fraction dropped, in training, of the weights of the attention, of the inner layer
            and of what is added in a residual.
        norm_epsilon: what the norms add to the variance.
        kernel_initializer: initializer of all kernels.
        attention_options: further arguments of `MultiHeadSelfAttention`, by name: shared heads,
            window, norms of query and key, soft cap, sinks, `rotary`, `position_bias`.
        seed: integer that makes the dropout repeatable, or None.

    Call arguments:
        inputs: `(B, T, D)`.
        mask, inputs_mask: boolean `(B, T)`, which steps are no padding.
        attention_mask: `(B, T, T)`, `(T, T)` or `(B, H, T, T)`, which step may see which.
        use_causal_mask: whether a step sees only itself and those before it.
        return_attention_scores: whether to return the weights, too.
        training: whether dropout is active.

    Returns:
        `(B, T, D)`; with `return_attention_scores` also the weights `(B, H, T, T)`.

    Raises:
        ValueError: a size is not a positive integer; unknown `norm`; `dropout` is out of range.

    Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.1; where the norm
    stands: Xiong et al., 2020, https://arxiv.org/abs/2002.04745, figure 1.
    """

    def build(self, inputs_shape: Shape) -> None:
        self.build_feedforward(inputs_shape)

    def call(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        inputs_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        mask = merged(mask, inputs_mask)

        def attend(x: Tensor) -> Any:
            return self.self_attention(
                x,
                query_mask=mask,
                attention_mask=attention_mask,
                use_causal_mask=use_causal_mask,
                return_attention_scores=return_attention_scores,
                training=training,
            )

        inputs = in_compute_dtype(self, inputs)
        x = inputs if mask is None else zero_masked(inputs, mask)
        x, *weights = self.residual(x, attend, self.self_attention_norm, training)
        x = self.with_mask(self.feedforward(x, training), mask)
        return (x, *weights) if return_attention_scores else x

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        return inputs_shape

    def compute_output_spec(
        self,
        inputs: Tensor,
        mask: Tensor | None = None,
        inputs_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        output = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        batch, length, _ = inputs.shape
        weights = keras.KerasTensor((batch, self.num_heads, length, length), self.compute_dtype)
        return (output, weights) if return_attention_scores else output
