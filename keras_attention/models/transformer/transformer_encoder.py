"""The encoder of a Transformer."""

from typing import Any

import keras

from keras_attention._types import Shape, Tensor
from keras_attention.layers import TransformerEncoderBlock
from keras_attention.models.transformer.transformer_stack import TransformerStack


@keras.saving.register_keras_serializable(package="keras_attention")
class TransformerEncoder(TransformerStack):
    """Tokens to vectors that know of all tokens of their sequence.

    Masking: padding is attended to by none, and its own vectors are 0.

    Args:
        vocabulary_size: number of tokens.
        units: size of the vectors; a multiple of `num_heads`.
        num_heads, num_layers, feedforward_dim, norm, positions, max_positions, activation, dropout,
            attention_options: see `TransformerSeq2Seq`.

    Call arguments:
        source: int `(B, Ts)`.
        source_mask: boolean `(B, Ts)`, True = no padding.
        training: whether dropout is active.

    Returns:
        `(B, Ts, units)`.

    Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.1.
    """

    def build(self, source_shape: Any) -> None:
        self.build_stack(source_shape)

    def call(
        self, source: Tensor, source_mask: Tensor | None = None, training: bool | None = None
    ) -> Any:
        x = self.embed(source, training=training, mask=source_mask)
        for block in self.blocks:
            x = block(x, inputs_mask=source_mask, training=training)
        return self.finish(x)

    def compute_output_shape(self, source_shape: Any) -> Shape:
        return (*source_shape, self.units)

    def _make_block(self, name: str, **arguments: Any) -> keras.layers.Layer:
        return TransformerEncoderBlock(**arguments, dtype=self.dtype_policy, name=name)
