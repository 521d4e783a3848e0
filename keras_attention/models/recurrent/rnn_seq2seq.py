"""The recurrent encoder-decoder, with attention or without."""

from typing import Any, Self, Unpack

import keras

from keras_attention._types import LayerOptions, Tensor
from keras_attention.models.recurrent.rnn_decoder import RNNDecoder
from keras_attention.models.recurrent.rnn_encoder import RNNEncoder
from keras_attention.models.seq2seq import Seq2Seq


@keras.saving.register_keras_serializable(package="keras_attention")
class RNNSeq2Seq(Seq2Seq):
    """Recurrent encoder-decoder; every step of the decoder attends to the encoder's outputs.

    `attention=None` gives the plain encoder-decoder (Sutskever et al., 2014), whose decoder knows
    the source by the encoder's final state alone.

    Masking: token 0 is padding; it changes no state and is never attended to.

    Example:

    ```python
    source = np.array([[5, 9, 7, 3], [8, 6, 3, 0]])
    target_inputs, labels = np.array([[2, 4, 6], [2, 7, 0]]), np.array([[4, 6, 3], [7, 3, 0]])
    model = RNNSeq2Seq(1000, 800, units=256, attention=BahdanauAttention(128))
    model.compile("adam", loss=SequenceCrossentropy(), metrics=[TokenAccuracy()])
    model.fit({"source": source, "target": target_inputs}, labels)
    answers = model.decode(source, max_length=50)
    ```

    Args:
        source_vocabulary_size: number of source tokens.
        target_vocabulary_size: number of target tokens.
        units: size of the state of one layer and direction.
        attention: an attention layer, or None.
        query: `"previous"` (Bahdanau) or `"current"` (Luong): the decoder state that asks.
        embedding_dim: size of the embeddings; `units` by default.
        num_layers: number of recurrent layers in encoder and decoder each.
        cell: `"gru"` or `"lstm"`.
        bidirectional: whether the encoder reads in both directions.
        dropout: fraction dropped of embeddings, between encoder layers and before the logits.
        tie_embeddings: whether the target embeddings serve as output weights.
        start_id: the token before the first.
        end_id: the token after the last.

    Call arguments and returns: see `Seq2Seq`; a `"source_mask"` (boolean, `(B, Ts)`) among the
    inputs takes the place of `source != 0`.

    Raises:
        ValueError: unknown `cell` or `query`; `attention` does not attend from one sequence to
            another; a size is not positive; a dropout is out of range.

    Reference: Bahdanau, Cho and Bengio, 2015, https://arxiv.org/abs/1409.0473; Sutskever, Vinyals
    and Le, 2014, https://arxiv.org/abs/1409.3215.
    """

    argument_parts = {"attention": lambda self: self.decoder.attention}

    def __init__(
        self,
        source_vocabulary_size: int,
        target_vocabulary_size: int,
        units: int,
        attention: Any = None,
        query: str = "previous",
        embedding_dim: int | None = None,
        num_layers: int = 1,
        cell: str = "gru",
        bidirectional: bool = True,
        dropout: float = 0.0,
        tie_embeddings: bool = False,
        start_id: int = 2,
        end_id: int = 3,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(start_id=start_id, end_id=end_id, **kwargs)
        self._config: dict[str, Any] = {
            "source_vocabulary_size": source_vocabulary_size,
            "target_vocabulary_size": target_vocabulary_size,
            "units": units,
            "query": query,
            "embedding_dim": embedding_dim,
            "num_layers": num_layers,
            "cell": cell,
            "bidirectional": bidirectional,
            "dropout": dropout,
            "tie_embeddings": tie_embeddings,
            "start_id": start_id,
            "end_id": end_id,
        }
        shared = {
            "units": units,
            "embedding_dim": embedding_dim or units,
            "num_layers": num_layers,
            "cell": cell,
            "dropout": dropout,
            "dtype": self.dtype_policy,
        }
        self.encoder = RNNEncoder(
            source_vocabulary_size, bidirectional=bidirectional, name="encoder", **shared
        )
        self.decoder = RNNDecoder(
            target_vocabulary_size,
            attention=attention,
            query=query,
            tie_embeddings=tie_embeddings,
            name="decoder",
            **shared,
        )

    def build(self, input_shape: Any) -> None:
        source, target = input_shape["source"], input_shape["target"]
        self.encoder.build(source)
        self.encoder.built = True
        memory = (*source, self.encoder.output_dim)
        per_layer = [(source[0], self.encoder.output_dim)] * len(self.decoder.bridges[0])
        self.decoder.build(target, memory, [per_layer] * len(self.decoder.bridges))
        self.decoder.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Any:
        source = inputs["source"]
        mask = inputs.get("source_mask", source != 0)
        memory, state = self.encoder(source, source_mask=mask, training=training)
        return self.decoder(inputs["target"], memory, state, memory_mask=mask, training=training)

    def prepare(
        self, source: Tensor, source_mask: Tensor | None = None, training: bool | None = None
    ) -> tuple[Any, Any]:
        if not self.built:  # all sizes are known: a model that has seen no data can answer, too
            self.build({"source": (None, None), "target": (None, None)})
        mask = source != 0 if source_mask is None else source_mask
        memory, state = self.encoder(source, source_mask=mask, training=training)
        return self.decoder.prepare(memory, mask), state

    def initial_state(self, memory: Tensor, max_length: int = 100) -> Any:
        return self.decoder.initial_state(*memory)

    def step(self, token: Tensor, state: Any, memory: Tensor, width: Any = None) -> Any:
        return self.decoder.step(token, state, memory[0], width)

    def get_config(self) -> dict[str, Any]:
        attention = keras.saving.serialize_keras_object(self.decoder.attention)
        return {**super().get_config(), **self._config, "attention": attention}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        attention = keras.saving.deserialize_keras_object(config["attention"])
        return cls(**{**config, "attention": attention})
