"""The recurrent encoder."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import LayerOptions, Tensor
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.keep_mask import accept_masks
from keras_attention.layers.quantized_parts import QuantizedParts
from keras_attention.models.recurrent.recurrent_cells import (
    SEQUENCE_LAYERS,
    STATES_PER_CELL,
    check_cell,
    check_layers,
)
from keras_attention.models.token_embedding import embed_tokens


@keras.saving.register_keras_serializable(package="keras_attention")
class RNNEncoder(CheckedCall, QuantizedParts, keras.layers.Layer):
    """Reads a sequence of tokens with one or more recurrent layers, in one or both directions.

    Masking: padded steps change no state; their outputs repeat the last state and must be hidden
    by `source_mask` from whatever reads them.

    Args:
        vocabulary_size: number of tokens.
        units: size of the state of one layer and direction.
        embedding_dim: size of the embeddings.
        num_layers: number of recurrent layers.
        cell: `"gru"` or `"lstm"`.
        bidirectional: whether each layer reads in both directions.
        dropout: fraction dropped of the embeddings and of what each layer hands to the next.

    Call arguments:
        source: int `(B, Ts)`.
        source_mask: boolean `(B, Ts)`, True = no padding.
        training: whether dropout is active.

    Returns:
        The outputs `(B, Ts, units)`, twice as wide if bidirectional, and for each layer the list
        of its final states, both directions joined.

    Reference: Bahdanau, Cho and Bengio, 2015, https://arxiv.org/abs/1409.0473, section 3.2.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        embedding_dim: int,
        num_layers: int = 1,
        cell: str = "gru",
        bidirectional: bool = True,
        dropout: float = 0.0,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.units = units
        self.embedding_dim = embedding_dim
        self.num_layers = check_layers(num_layers)
        self.cell = check_cell(cell)
        self.bidirectional = bidirectional
        self.dropout = dropout
        policy = self.dtype_policy
        self.embedding = keras.layers.Embedding(
            vocabulary_size, embedding_dim, dtype=policy, name="embedding"
        )
        self.rnns = [self._rnn(f"rnn_{i}") for i in range(num_layers)]
        self.drops = [
            keras.layers.Dropout(dropout, dtype=policy, name=f"dropout_{i}")
            for i in range(num_layers)
        ]

    def build(self, source_shape: Any) -> None:
        self.embedding.build(source_shape)
        shape = (*source_shape, self.embedding_dim)
        for rnn in self.rnns:
            rnn.build(shape)
            shape = (*source_shape, self.output_dim)

    @property
    def output_dim(self) -> int:
        return self.units * (2 if self.bidirectional else 1)

    def call(self, source: Tensor, source_mask: Tensor, training: bool | None = None) -> Any:
        x = embed_tokens(self.embedding, source, source_mask)
        final_states = []
        for drop, rnn in zip(self.drops, self.rnns, strict=True):
            x, *states = rnn(drop(x, training=training), mask=source_mask, training=training)
            if self.bidirectional:
                count = STATES_PER_CELL[self.cell]
                both = zip(states[:count], states[count:], strict=True)
                states = [ops.concatenate(pair, axis=-1) for pair in both]
            final_states.append(states)
        return x, final_states

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "units": self.units,
            "embedding_dim": self.embedding_dim,
            "num_layers": self.num_layers,
            "cell": self.cell,
            "bidirectional": self.bidirectional,
            "dropout": self.dropout,
        }

    def _rnn(self, name: str) -> Any:
        layer = SEQUENCE_LAYERS[self.cell](
            self.units,
            return_sequences=True,
            return_state=True,
            dtype=self.dtype_policy,
            name=name,
        )
        if self.bidirectional:
            layer = keras.layers.Bidirectional(layer, dtype=self.dtype_policy, name=name)
        return accept_masks(layer)
