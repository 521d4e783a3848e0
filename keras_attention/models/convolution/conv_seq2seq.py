"""ConvS2S: a convolutional encoder-decoder with attention in every layer of the decoder."""

from typing import Any, Unpack

import keras

from keras_attention._types import LayerOptions, Tensor
from keras_attention.layers.validation import check_positive
from keras_attention.models.convolution.conv_decoder import ConvDecoder
from keras_attention.models.convolution.conv_encoder import ConvEncoder
from keras_attention.models.seq2seq import Seq2Seq


@keras.saving.register_keras_serializable(package="keras_attention")
class ConvSeq2Seq(Seq2Seq):
    """Encoder and decoder of gated convolutions; every layer of the decoder attends to the source.

    All steps of training are made at once, as no step depends on the output of another; a step of
    a search remembers as many inputs of each convolution as it looks back. The paper's weights are
    normalised (Salimans and Kingma, 2016); here they are not.

    Masking: token 0 is padding; it reaches nothing.

    Example:

    ```python
    source = np.array([[5, 9, 7, 3], [8, 6, 3, 0]])
    target_inputs, labels = np.array([[2, 4, 6], [2, 7, 0]]), np.array([[4, 6, 3], [7, 3, 0]])
    model = ConvSeq2Seq(1000, 800, units=32)
    model.compile("adam", loss=SequenceCrossentropy())
    model.fit({"source": source, "target": target_inputs}, labels, verbose=0)
    answers = model.decode(source, max_length=50)
    ```

    Args:
        source_vocabulary_size: number of source tokens.
        target_vocabulary_size: number of target tokens.
        units: size of the blocks.
        embedding_dim: size of the embeddings and of what is read; `units` by default.
        kernel_size: how many steps each convolution sees.
        num_layers: number of blocks in encoder and decoder each.
        num_positions: number of position embeddings; all later positions share the last.
        alignment: which weights a step returns: those of the `"last"` layer, or the `"mean"` of
            all.
        dropout: fraction dropped of the embeddings, of what the convolutions read, and before the
            logits.
        start_id: the token before the first.
        end_id: the token after the last.

    Call arguments and returns: see `Seq2Seq`; a `"source_mask"` (boolean, `(B, Ts)`) among the
    inputs takes the place of `source != 0`.

    Raises:
        ValueError: a size is not a positive integer; unknown `alignment`; a dropout is out of
            range.

    Reference: Gehring et al., 2017, https://arxiv.org/abs/1705.03122.
    """

    def __init__(
        self,
        source_vocabulary_size: int,
        target_vocabulary_size: int,
        units: int = 128,
        embedding_dim: int | None = None,
        kernel_size: int = 3,
        num_layers: int = 4,
        num_positions: int = 256,
        alignment: str = "last",
        dropout: float = 0.0,
        start_id: int = 2,
        end_id: int = 3,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(start_id=start_id, end_id=end_id, **kwargs)
        check_positive(num_layers=num_layers)
        self._config: dict[str, Any] = {
            "source_vocabulary_size": source_vocabulary_size,
            "target_vocabulary_size": target_vocabulary_size,
            "units": units,
            "embedding_dim": embedding_dim,
            "kernel_size": kernel_size,
            "num_layers": num_layers,
            "num_positions": num_positions,
            "alignment": alignment,
            "dropout": dropout,
            "start_id": start_id,
            "end_id": end_id,
        }
        shared = {
            "units": units,
            "embedding_dim": embedding_dim or units,
            "kernel_size": kernel_size,
            "num_layers": num_layers,
            "num_positions": num_positions,
            "dropout": dropout,
            "dtype": self.dtype_policy,
        }
        # As many layers as read the keys send gradients back.
        self.encoder = ConvEncoder(
            source_vocabulary_size, gradient_scale=1 / num_layers, name="encoder", **shared
        )
        self.decoder = ConvDecoder(
            target_vocabulary_size, alignment=alignment, name="decoder", **shared
        )

    def build(self, input_shape: Any) -> None:
        source, target = input_shape["source"], input_shape["target"]
        memory = (*source, self.encoder.embedding_dim)
        self.encoder.build(source)
        self.encoder.built = True
        self.decoder.build(target, memory, memory)
        self.decoder.built = True

    @property
    def receptive_field(self) -> int:
        """Number of the latest tokens of the target that the logits of the next depend on:
        `1 + (kernel_size - 1) num_layers`. They depend on all of the source."""
        return 1 + sum(block.receptive_field - 1 for block in self.decoder.blocks)

    def call(self, inputs: Tensor, training: bool | None = None) -> Any:
        source = inputs["source"]
        mask = inputs.get("source_mask", source != 0)
        keys, values = self.encoder(source, source_mask=mask, training=training)
        return self.decoder(inputs["target"], keys, values, memory_mask=mask, training=training)

    def prepare(
        self, source: Tensor, source_mask: Tensor | None = None, training: bool | None = None
    ) -> Any:
        if not self.built:  # all sizes are known: a model that has seen no data can answer, too
            self.build({"source": (None, None), "target": (None, None)})
        mask = source != 0 if source_mask is None else source_mask
        keys, values = self.encoder(source, source_mask=mask, training=training)
        return self.decoder.prepare(keys, values, mask)

    def initial_state(self, memory: Tensor, max_length: int = 100) -> Any:
        return self.decoder.initial_state(memory)

    def step(self, token: Tensor, state: Any, memory: Tensor, width: Any = None) -> Any:
        return self.decoder.step(token, state, memory, width)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._config}
