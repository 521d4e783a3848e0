"""WaveNet over tokens."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import LayerOptions, Tensor
from keras_attention.layers import DilatedConv, GatedConvBlock
from keras_attention.layers.convolution.conv_block import stacked_offsets
from keras_attention.models.convolution.dilations import check_dilations
from keras_attention.models.language_model import LanguageModel
from keras_attention.models.token_embedding import embed_tokens


@keras.saving.register_keras_serializable(package="keras_attention")
class WaveNet(LanguageModel):
    """The next token from those before it, by gated dilated causal convolutions.

    A causal convolution of the embedded tokens, `GatedConvBlock`s whose dilations repeat, and of
    the sum of their skip outputs `relu`, a linear map, `relu` and the logits. Tokens are text or
    the levels of quantised samples (`keras_attention.ops.mu_law_encode`). A step of a search
    remembers as many inputs of each convolution as it looks back, whatever was said before.

    Masking: token 0 is padding, which stands on the right.

    Example:

    ```python
    tokens = np.array([[2, 5, 9, 7, 8], [2, 8, 6, 0, 0]])
    labels = np.array([[5, 9, 7, 8, 3], [8, 6, 3, 0, 0]])
    model = WaveNet(1000, units=32, dilations=(1, 2, 4))
    model.compile("adam", loss=SequenceCrossentropy())
    model.fit(tokens, labels, verbose=0)
    answers = model.generate(np.array([[5, 9]]), max_length=7)
    ```

    Args:
        vocabulary_size: number of tokens.
        units: size of embeddings, gates and residual outputs.
        skip_units: size of the skip outputs; `units` by default.
        kernel_size: how many steps each convolution sees.
        dilations: of the blocks, one after the other.
        num_stacks: how often they repeat.
        dropout: fraction dropped of what each convolution of a block reads, and before the logits.
        start_id: the token before the first.
        end_id: the token after the last.

    Call arguments and returns: see `LanguageModel`.

    Raises:
        ValueError: a size is not a positive integer; no dilations.

    Reference: van den Oord et al., 2016, https://arxiv.org/abs/1609.03499.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int = 64,
        skip_units: int | None = None,
        kernel_size: int = 2,
        dilations: Sequence[int] = (1, 2, 4, 8, 16, 32, 64),
        num_stacks: int = 1,
        dropout: float = 0.0,
        start_id: int = 2,
        end_id: int = 3,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(start_id=start_id, end_id=end_id, **kwargs)
        self.vocabulary_size = vocabulary_size
        self._config: dict[str, Any] = {
            "vocabulary_size": vocabulary_size,
            "units": units,
            "skip_units": skip_units,
            "kernel_size": kernel_size,
            "dilations": check_dilations(dilations),
            "num_stacks": num_stacks,
            "dropout": dropout,
            "start_id": start_id,
            "end_id": end_id,
        }
        policy = self.dtype_policy
        self.embedding = keras.layers.Embedding(
            vocabulary_size, units, dtype=policy, name="embedding"
        )
        self.convolution = DilatedConv(units, kernel_size, dtype=policy, name="convolution")
        self.blocks = [
            GatedConvBlock(
                units,
                kernel_size,
                dilation,
                skip_units=skip_units or units,
                residual=i + 1 < len(dilations) * num_stacks,
                dropout=dropout,
                dtype=policy,
                name=f"block_{i}",
            )
            for i, dilation in enumerate([*dilations] * num_stacks)
        ]
        self.hidden = keras.layers.Dense(skip_units or units, "relu", dtype=policy, name="hidden")
        self.drop = keras.layers.Dropout(dropout, dtype=policy, name="dropout")
        self.logits = keras.layers.Dense(vocabulary_size, dtype=policy, name="logits")

    def build(self, input_shape: Any) -> None:
        tokens = input_shape["target"] if isinstance(input_shape, dict) else input_shape
        units, skip_units = self.embedding.output_dim, self.hidden.units
        self.embedding.build(tokens)
        self.convolution.build((*tokens, units))
        for block in self.blocks:
            block.build((*tokens, units))
        self.hidden.build((*tokens, skip_units))
        self.logits.build((*tokens, skip_units))

    @property
    def receptive_field(self) -> int:
        """Number of the latest tokens that the logits of the next depend on:
        `1 + (kernel_size - 1) (1 + num_stacks * sum(dilations))`."""
        return 1 - stacked_offsets([self.convolution, *self.blocks])[0]

    def predict_next(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        return self._read(tokens, None, training)[0]

    def prepare_prompt(self, tokens: Tensor, lengths: Tensor, max_length: int) -> Any:
        return self._read(tokens, lengths)[1]

    def step_token(self, token: Tensor, state: Any) -> tuple[Any, Any]:
        x, first = self.convolution.step(self.embedding(token), state[0])
        buffers, skips = [first], 0.0
        for block, buffer in zip(self.blocks, state[1:], strict=True):
            outputs, buffer = block.step(x, buffer)
            x, skip = outputs if block.residual else (None, outputs)
            buffers.append(buffer)
            skips = skips + skip
        return self._logits(skips), buffers

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._config}

    def _read(
        self, tokens: Tensor, lengths: Tensor, training: bool | None = None
    ) -> tuple[Any, Any]:
        """Logits, and the buffers after the first `lengths` tokens."""
        x = embed_tokens(self.embedding, tokens)
        x, first = self.convolution.prepare(x, lengths)
        buffers, skips = [first], 0.0
        for block in self.blocks:
            outputs, buffer = block.prepare(x, lengths, training=training)
            x, skip = outputs if block.residual else (None, outputs)
            buffers.append(buffer)
            skips = skips + skip
        return self._logits(skips, training), buffers

    def _logits(self, skips: Any, training: bool | None = None) -> Tensor:
        hidden = self.hidden(ops.relu(skips))
        return self.logits(self.drop(hidden, training=training))
