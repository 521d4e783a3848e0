"""Embedding, positions, blocks and last norm: what encoder and decoder have in common."""

from typing import Any, Self, Unpack

import keras
from keras import ops

from keras_attention._types import Activation, LayerOptions, Tensor
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.quantized_parts import QuantizedParts
from keras_attention.models.token_embedding import embed_tokens
from keras_attention.models.transformer.transformer_positions import (
    added_positions,
    attended_positions,
)


class TransformerStack(CheckedCall, QuantizedParts, keras.layers.Layer):
    """Tokens through blocks that a subclass makes in `_make_block`.

    The embeddings are multiplied by `sqrt(units)`, as in the paper, section 3.4.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        num_heads: int,
        num_layers: int,
        feedforward_dim: int | None = None,
        norm: str = "pre",
        positions: str | None = "sinusoidal",
        max_positions: int = 512,
        activation: Activation = "relu",
        dropout: float = 0.0,
        attention_options: dict[str, Any] | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        for name, value in {
            "units": units,
            "num_heads": num_heads,
            "num_layers": num_layers,
        }.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"Expected {name} to be a positive integer. Received: {name}={value!r}"
                )
        if units % num_heads:
            raise ValueError(
                "Expected units to be a multiple of num_heads. "
                f"Received: units={units}, num_heads={num_heads}"
            )
        self.vocabulary_size = vocabulary_size
        self.units = units
        self.num_heads = num_heads
        self.num_layers = num_layers
        self.feedforward_dim = feedforward_dim or 4 * units
        self.norm = norm
        self.positions = positions
        self.max_positions = max_positions
        self.activation = activation
        self.dropout = dropout
        self.attention_options = dict(attention_options or {})
        policy = self.dtype_policy
        self.embedding = keras.layers.Embedding(
            vocabulary_size,
            units,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=units**-0.5),
            dtype=policy,
            name="embedding",
        )
        self.added_positions = added_positions(positions, max_positions, policy)
        self.embedding_dropout = keras.layers.Dropout(dropout, dtype=policy, name="dropout")
        shared = attended_positions(positions, num_heads, self.bidirectional, policy)
        self.blocks = [
            self._make_block(
                f"block_{i}",
                num_heads=num_heads,
                key_dim=units // num_heads,
                feedforward_dim=self.feedforward_dim,
                norm=norm,
                activation=activation,
                dropout=dropout,
                attention_options={**self.attention_options, **shared},
            )
            for i in range(num_layers)
        ]
        # In a post-norm block the last thing is a norm already.
        self.last_norm = None
        if norm == "pre":
            self.last_norm = keras.layers.LayerNormalization(
                epsilon=1e-5, dtype=policy, name="last_norm"
            )

    bidirectional = True

    def build_stack(self, tokens_shape: Any, *other_shapes: Any) -> None:
        """Builds everything here; `other_shapes` are what blocks read besides."""
        shape = (*tokens_shape, self.units)
        self.embedding.build(tokens_shape)
        if self.added_positions is not None:
            self.added_positions.build(shape)
            self.added_positions.built = True
        for block in self.blocks:
            block.build(shape, *other_shapes)
            block.built = True
        if self.last_norm is not None:
            self.last_norm.build(shape)

    def embed(
        self,
        tokens: Tensor,
        start: Tensor = 0,
        training: bool | None = None,
        mask: Tensor | None = None,
        chosen: bool = False,
    ) -> Tensor:
        """Tokens `(B, T)` to `(B, T, units)`, the first at position `start`.

        Where `mask (B, T)` is False they may be anything; a search has `chosen` them, or they are
        refused where they are none.
        """
        x = self.embedding(tokens) if chosen else embed_tokens(self.embedding, tokens, mask)
        x = x * ops.cast(self.units**0.5, x.dtype)
        if self.added_positions is not None:
            x = self.added_positions(x, start=start)
        return self.embedding_dropout(x, training=training)

    def finish(self, x: Tensor) -> Any:
        """The last norm, where there is one."""
        return x if self.last_norm is None else self.last_norm(x)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "units": self.units,
            "num_heads": self.num_heads,
            "num_layers": self.num_layers,
            "feedforward_dim": self.feedforward_dim,
            "norm": self.norm,
            "positions": self.positions,
            "max_positions": self.max_positions,
            "activation": self.activation,
            "dropout": self.dropout,
            "attention_options": keras.saving.serialize_keras_object(self.attention_options),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        options = keras.saving.deserialize_keras_object(config["attention_options"])
        return cls(**{**config, "attention_options": options})

    def _make_block(self, name: str, **arguments: Any) -> keras.layers.Layer:
        raise NotImplementedError(f"{type(self).__name__} must define `_make_block`.")
