"""The Transformer that only has a decoder."""

from typing import Any, Self, Unpack

import keras
from keras import ops

from keras_attention._types import Activation, LayerOptions, Tensor
from keras_attention.models.language_model import LanguageModel
from keras_attention.models.transformer.transformer_decoder import TransformerDecoder


@keras.saving.register_keras_serializable(package="keras_attention")
class TransformerLM(LanguageModel):
    """Predicts each token of a text from those before it, and goes on with a prompt.

    It is trained on texts, `(start, a, b, c)` with the labels `(a, b, c, end)`. To go on with a
    prompt is to answer it: `generate`, `beam_search`, `sample`, `log_probability` and `export` take
    a prompt where other models have a source. The prompt is read in one pass; its keys and values
    stay in the caches that the tokens after it are added to.

    Masking: prompts of a batch may differ in length; their padding (token 0, or what `source_mask`
    says) stands at the end. A prompt of padding alone is an empty one. Alignments are 0: there
    is no memory to attend to.

    Example:

    ```python
    texts = np.array([[2, 5, 9, 7], [2, 8, 6, 0]])
    labels = np.array([[5, 9, 7, 3], [8, 6, 3, 0]])
    model = TransformerLM(1000, units=32, num_heads=4, num_layers=2)
    model.compile("adam", loss=SequenceCrossentropy(), metrics=[TokenAccuracy()])
    model.fit(texts, labels, verbose=0)
    answers = model.generate(np.array([[5, 9], [8, 0]]), max_length=5)
    ```

    Args:
        vocabulary_size: number of tokens.
        units, num_heads, num_layers, feedforward_dim, norm, positions, max_positions, activation,
            dropout, attention_options: see `TransformerSeq2Seq`.
        tie_embeddings: whether the embeddings serve as output weights.
        start_id: the token before the first of a text.
        end_id: the token after the last.

    Call arguments:
        inputs: int `(B, T)`, texts that begin with `start_id`; or, as other models have it,
            `{"source": prompts int (B, Ts), "target": int (B, Tt)}`, where the target, which
            begins with `start_id`, is what goes on with the prompt.
        training: whether dropout is active.

    Returns:
        Logits `(B, T, vocabulary_size)`, or `(B, Tt, vocabulary_size)`.

    Raises:
        ValueError: see `TransformerSeq2Seq`.

    Reference: Liu et al., 2018, https://arxiv.org/abs/1801.10198, section 4.2.3; Radford et al.,
    2018, "Improving Language Understanding by Generative Pre-Training".
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int = 256,
        num_heads: int = 8,
        num_layers: int = 4,
        feedforward_dim: int | None = None,
        norm: str = "pre",
        positions: str | None = "rotary",
        max_positions: int = 512,
        activation: Activation = "gelu",
        dropout: float = 0.0,
        tie_embeddings: bool = True,
        attention_options: dict[str, Any] | None = None,
        start_id: int = 2,
        end_id: int = 3,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(start_id=start_id, end_id=end_id, **kwargs)
        self.vocabulary_size = vocabulary_size
        self._config: dict[str, Any] = {
            "vocabulary_size": vocabulary_size,
            "units": units,
            "num_heads": num_heads,
            "num_layers": num_layers,
            "feedforward_dim": feedforward_dim,
            "norm": norm,
            "positions": positions,
            "max_positions": max_positions,
            "activation": activation,
            "dropout": dropout,
            "tie_embeddings": tie_embeddings,
            "attention_options": attention_options,
        }
        self.decoder = TransformerDecoder(
            **self._config, reads_memory=False, dtype=self.dtype_policy, name="decoder"
        )
        self._config |= {"start_id": start_id, "end_id": end_id}

    def build(self, input_shape: Any) -> None:
        shape = input_shape["target"] if isinstance(input_shape, dict) else input_shape
        self.decoder.build(shape)
        self.decoder.built = True

    def predict_next(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        return self.decoder(tokens, training=training)

    def prepare_prompt(self, tokens: Tensor, lengths: Tensor, max_length: int) -> dict[str, Any]:
        batch_size, steps = ops.shape(tokens)
        caches = self.decoder.initial_state(batch_size, steps + max_length - 1)["caches"]
        # All of the prompt at once. Its last token comes again with the first step, in its place,
        # and what padding leaves in the caches is overwritten before any step sees it.
        _, caches, _ = self.decoder.run_blocks(tokens, caches, position=0)
        return {"position": lengths, "caches": caches}

    def step_token(self, token: Tensor, state: Any) -> tuple[Any, Any]:
        logits, state, _ = self.decoder.step(token, state)
        return logits, state

    def get_config(self) -> dict[str, Any]:
        options = keras.saving.serialize_keras_object(self._config["attention_options"])
        return {**super().get_config(), **self._config, "attention_options": options}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        options = keras.saving.deserialize_keras_object(config["attention_options"])
        return cls(**{**config, "attention_options": options})
