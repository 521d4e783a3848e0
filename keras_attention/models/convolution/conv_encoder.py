"""The convolutional encoder of ConvS2S."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import LayerOptions, Tensor
from keras_attention.layers import ConvGluBlock
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.quantized_parts import QuantizedParts
from keras_attention.models.argument_attributes import ArgumentAttributes
from keras_attention.models.token_embedding import embed_tokens


@keras.saving.register_keras_serializable(package="keras_attention")
class ConvEncoder(ArgumentAttributes, CheckedCall, QuantizedParts, keras.layers.Layer):
    """Reads a sequence of tokens with gated convolutions that see both sides.

    With e the embedded tokens, each with the embedding of its position added,

        keys = Z blocks(A e),   values = sqrt(1/2) (keys + e)

    where A and Z are linear maps of each step. Values hold the token itself beside what stands
    around it.

    Masking: padded steps count as 0 and come out as 0; positions count tokens alone.

    Args:
        vocabulary_size: number of tokens.
        units: size of the blocks.
        embedding_dim: size of embeddings, keys and values.
        kernel_size: how many steps each convolution sees.
        num_layers: number of blocks.
        num_positions: number of position embeddings; all later positions share the last.
        gradient_scale: what the gradients that come through the keys are multiplied by.
        dropout: fraction dropped of the embeddings and of what the convolutions read.

    Call arguments:
        source: int `(B, Ts)`.
        source_mask: boolean `(B, Ts)`, True = no padding.
        training: whether dropout is active.

    Returns:
        Keys and values, `(B, Ts, embedding_dim)` each.

    Reference: Gehring et al., 2017, https://arxiv.org/abs/1705.03122, sections 3.1 to 3.4.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        embedding_dim: int,
        kernel_size: int = 3,
        num_layers: int = 4,
        num_positions: int = 256,
        gradient_scale: float = 1.0,
        dropout: float = 0.0,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self._config = {
            "vocabulary_size": vocabulary_size,
            "units": units,
            "embedding_dim": embedding_dim,
            "kernel_size": kernel_size,
            "num_layers": num_layers,
            "num_positions": num_positions,
            "gradient_scale": gradient_scale,
            "dropout": dropout,
        }
        self.units, self.embedding_dim = units, embedding_dim
        self.num_positions, self.gradient_scale = num_positions, gradient_scale
        policy = self.dtype_policy
        self.embedding = embedding(vocabulary_size, embedding_dim, policy, "embedding")
        self.positions = embedding(num_positions, embedding_dim, policy, "positions")
        self.drop = keras.layers.Dropout(dropout, dtype=policy, name="dropout")
        self.enter = keras.layers.Dense(units, dtype=policy, name="enter")
        self.blocks = [
            ConvGluBlock(
                units, kernel_size, causal=False, dropout=dropout, dtype=policy, name=f"block_{i}"
            )
            for i in range(num_layers)
        ]
        self.leave = keras.layers.Dense(embedding_dim, dtype=policy, name="leave")

    def build(self, source_shape: Any) -> None:
        self.embedding.build(source_shape)
        self.positions.build(source_shape)
        self.enter.build((*source_shape, self.embedding_dim))
        for block in self.blocks:
            block.build((*source_shape, self.units))
        self.leave.build((*source_shape, self.units))

    def call(self, source: Tensor, source_mask: Tensor, training: bool | None = None) -> Any:
        mask = ops.cast(source_mask, "bool")
        positions = ops.cumsum(ops.cast(mask, "int32"), axis=1) - 1
        positions = ops.clip(positions, 0, self.num_positions - 1)
        embedded = embed_tokens(self.embedding, source, mask) + self.positions(positions)
        embedded = self.drop(embedded, training=training)
        x = self.enter(embedded)
        for block in self.blocks:
            x = block(x, mask=mask, training=training)
        keys = self.leave(x)
        if self.gradient_scale != 1:
            scaled = keys * self.gradient_scale
            keys = scaled + ops.stop_gradient(keys - scaled)
        return keys, (keys + embedded) * 0.5**0.5

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._config}


def embedding(size: Any, dim: Any, policy: Any, name: str) -> keras.layers.Layer:
    """An embedding whose numbers are first as large as the paper's."""
    initializer = keras.initializers.RandomNormal(stddev=0.1)
    return keras.layers.Embedding(size, dim, initializer, dtype=policy, name=name)
