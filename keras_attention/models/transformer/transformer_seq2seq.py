"""The Transformer."""

from typing import Any, Self, Unpack

import keras
from keras import ops

from keras_attention._types import Activation, LayerOptions, Tensor
from keras_attention.models.seq2seq import Seq2Seq
from keras_attention.models.transformer.transformer_decoder import TransformerDecoder
from keras_attention.models.transformer.transformer_encoder import TransformerEncoder


@keras.saving.register_keras_serializable(package="keras_attention")
class TransformerSeq2Seq(Seq2Seq):
    """Encoder and decoder of attention and feed-forward blocks, without recurrence.

    Decoding keeps the keys and values of the tokens so far in caches of fixed size, so that a step
    costs one token; it equals teacher forcing.

    The alignment that a search gives is the mean over the heads of the cross-attention of
    `alignment_layer`, the last one by default.

    Masking: token 0 of the source is padding; it is never attended to.

    Example:

    ```python
    source = np.array([[5, 9, 7, 3], [8, 6, 3, 0]])
    target_inputs, labels = np.array([[2, 4, 6], [2, 7, 0]]), np.array([[4, 6, 3], [7, 3, 0]])
    model = TransformerSeq2Seq(1000, 800, units=32, num_heads=4, num_layers=2)
    model.compile("adam", loss=SequenceCrossentropy(), metrics=[TokenAccuracy()])
    model.fit({"source": source, "target": target_inputs}, labels, verbose=0)
    answers = model.decode(source, max_length=5)
    ```

    Args:
        source_vocabulary_size: number of source tokens.
        target_vocabulary_size: number of target tokens.
        units: size of the vector of a token, a multiple of `num_heads`.
        num_heads: number of heads of each attention.
        num_layers: number of blocks in encoder and decoder each.
        feedforward_dim: size of the inner layer of a block; `4 units` by default.
        norm: `"pre"`, with one more norm after the last block, or `"post"`, as in the paper.
        positions: `"sinusoidal"` or `"learned"`, added to the embeddings; `"rotary"`, `"alibi"` or
            `"relative"` (T5), in every self-attention.
        max_positions: of `"learned"`, how many there are.
        activation: of the inner layers, a name.
        dropout: fraction dropped of embeddings, attention weights, inner layers and residuals.
        tie_embeddings: whether the target embeddings serve as output weights.
        attention_options: further arguments of the attentions by name, such as
            `num_key_value_heads`, `window`, `qk_norm`, `soft_cap`, `sinks`. The window is for
            self-attention alone.
        alignment_layer: the block of the decoder whose weights are the alignment.
        start_id: the token before the first.
        end_id: the token after the last.

    Call arguments and returns: see `Seq2Seq`; a `"source_mask"` (boolean, `(B, Ts)`) among the
    inputs takes the place of `source != 0`.

    Raises:
        ValueError: a size is not a positive integer; `units` is no multiple of `num_heads`; unknown
            `norm` or `positions`; a dropout is out of range; no such `alignment_layer`.

    Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762.
    """

    def __init__(
        self,
        source_vocabulary_size: int,
        target_vocabulary_size: int,
        units: int = 256,
        num_heads: int = 8,
        num_layers: int = 4,
        feedforward_dim: int | None = None,
        norm: str = "pre",
        positions: str | None = "sinusoidal",
        max_positions: int = 512,
        activation: Activation = "relu",
        dropout: float = 0.0,
        tie_embeddings: bool = False,
        attention_options: dict[str, Any] | None = None,
        alignment_layer: int = -1,
        start_id: int = 2,
        end_id: int = 3,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(start_id=start_id, end_id=end_id, **kwargs)
        shared: dict[str, Any] = {
            "units": units,
            "num_heads": num_heads,
            "num_layers": num_layers,
            "feedforward_dim": feedforward_dim,
            "norm": norm,
            "positions": positions,
            "max_positions": max_positions,
            "activation": activation,
            "dropout": dropout,
            "attention_options": attention_options,
        }
        self._config: dict[str, Any] = {
            "source_vocabulary_size": source_vocabulary_size,
            "target_vocabulary_size": target_vocabulary_size,
            **shared,
            "tie_embeddings": tie_embeddings,
            "alignment_layer": alignment_layer,
            "start_id": start_id,
            "end_id": end_id,
        }
        self.encoder = TransformerEncoder(
            source_vocabulary_size, **shared, dtype=self.dtype_policy, name="encoder"
        )
        self.decoder = TransformerDecoder(
            target_vocabulary_size,
            **shared,
            tie_embeddings=tie_embeddings,
            alignment_layer=alignment_layer,
            dtype=self.dtype_policy,
            name="decoder",
        )

    def build(self, input_shape: Any) -> None:
        source, target = input_shape["source"], input_shape["target"]
        self.encoder.build(source)
        self.encoder.built = True
        self.decoder.build(target, (*source, self.encoder.units))
        self.decoder.built = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Any:
        source = inputs["source"]
        mask = inputs.get("source_mask", source != 0)
        memory = self.encoder(source, source_mask=mask, training=training)
        return self.decoder(inputs["target"], memory, memory_mask=mask, training=training)

    def prepare(
        self, source: Tensor, source_mask: Tensor | None = None, training: bool | None = None
    ) -> Any:
        if not self.built:  # all sizes are known: a model that has seen no data can answer, too
            self.build({"source": (None, None), "target": (None, None)})
        mask = source != 0 if source_mask is None else source_mask
        memory = self.encoder(source, source_mask=mask, training=training)
        return self.decoder.prepare(memory, mask)

    def initial_state(self, memory: Tensor, max_length: int = 100) -> Any:
        key, _, _ = memory[0]
        return self.decoder.initial_state(ops.shape(key)[0], max_length)

    def step(self, token: Tensor, state: Any, memory: Tensor, width: Any = None) -> Any:
        return self.decoder.step(token, state, memory, width)

    def get_config(self) -> dict[str, Any]:
        options = keras.saving.serialize_keras_object(self._config["attention_options"])
        return {**super().get_config(), **self._config, "attention_options": options}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        options = keras.saving.deserialize_keras_object(config["attention_options"])
        return cls(**{**config, "attention_options": options})
