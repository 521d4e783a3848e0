"""ByteNet: a decoder of dilated convolutions on top of an encoder of dilated convolutions."""

import math
from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import Activation, LayerOptions, Tensor
from keras_attention.decoding.gather import take_rows
from keras_attention.layers import ByteNetBlock
from keras_attention.layers.convolution.conv_block import stacked_offsets
from keras_attention.models.convolution.dilations import check_dilations
from keras_attention.models.seq2seq import Seq2Seq
from keras_attention.models.token_embedding import embed_tokens
from keras_attention.ops import zero_masked
from keras_attention.ops.queries_per_memory import queries_per_memory

# What a product of floats may lack to the integer that it stands for.
ROUNDING = 1e-3


@keras.saving.register_keras_serializable(package="keras_attention")
class ByteNetSeq2Seq(Seq2Seq):
    """Encoder and decoder of dilated convolutions, the one on top of the other, without attention.

    The decoder reads at its step t what the encoder says of position t: time and memory grow with
    the lengths, not with their product, and no step waits for another in training. Targets may be
    longer than their sources by dynamic unfolding: the encoder goes on over as many positions as

        |t'| = floor(length_ratio |s| + length_margin)

    with a learned vector in the place of tokens after the source, each source of a batch for
    itself; after |t'| steps the decoder runs on by itself until the end token.

    Masking: token 0 is padding, which stands on the right; it reaches nothing.

    Example:

    ```python
    source = np.array([[5, 9, 7, 3], [8, 6, 3, 0]])
    target_inputs, labels = np.array([[2, 4, 6], [2, 7, 0]]), np.array([[4, 6, 3], [7, 3, 0]])
    model = ByteNetSeq2Seq(1000, 800, units=32, dilations=(1, 2, 4))
    model.compile("adam", loss=SequenceCrossentropy())
    model.fit({"source": source, "target": target_inputs}, labels, verbose=0)
    answers = model.decode(source, max_length=50)
    ```

    Args:
        source_vocabulary_size: number of source tokens.
        target_vocabulary_size: number of target tokens.
        units: size of what blocks hand on, an even number; half of it within a block.
        kernel_size: how many steps each convolution sees.
        dilations: of the blocks, one after the other, in encoder and decoder each.
        num_stacks: how often they repeat.
        kind: `"relu"` or `"multiplicative"`: see `ByteNetBlock`.
        length_ratio: the paper's a; 1.2 there, from English to German.
        length_margin: the paper's b.
        dropout: fraction dropped of the embeddings, of what the convolutions read, and before the
            logits.
        start_id: the token before the first.
        end_id: the token after the last.

    Call arguments and returns: see `Seq2Seq`; a `"source_mask"` (boolean, `(B, Ts)`) among the
    inputs takes the place of `source != 0`.

    Raises:
        ValueError: a size is not a positive integer; `units` is odd; no dilations; a ratio or
            margin below 0; unknown `kind`.

    Reference: Kalchbrenner et al., 2016, https://arxiv.org/abs/1610.10099.
    """

    def __init__(
        self,
        source_vocabulary_size: int,
        target_vocabulary_size: int,
        units: int = 128,
        kernel_size: int = 3,
        dilations: Sequence[int] = (1, 2, 4, 8, 16),
        num_stacks: int = 1,
        kind: str = "relu",
        length_ratio: float = 1.2,
        length_margin: int = 0,
        dropout: float = 0.0,
        start_id: int = 2,
        end_id: int = 3,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(start_id=start_id, end_id=end_id, **kwargs)
        if not isinstance(units, int) or units < 2 or units % 2:
            raise ValueError(f"Expected units to be even. Received: units={units!r}")
        if length_ratio < 0 or length_margin < 0:
            raise ValueError(
                "Expected length_ratio >= 0 and length_margin >= 0. "
                f"Received: length_ratio={length_ratio}, length_margin={length_margin}"
            )
        self._config: dict[str, Any] = {
            "source_vocabulary_size": source_vocabulary_size,
            "target_vocabulary_size": target_vocabulary_size,
            "units": units,
            "kernel_size": kernel_size,
            "dilations": check_dilations(dilations),
            "num_stacks": num_stacks,
            "kind": kind,
            "length_ratio": length_ratio,
            "length_margin": length_margin,
            "dropout": dropout,
            "start_id": start_id,
            "end_id": end_id,
        }
        self.units = units
        self.length_ratio, self.length_margin = length_ratio, length_margin
        policy = self.dtype_policy

        def embedding(size: Any, name: str) -> keras.layers.Layer:
            return keras.layers.Embedding(size, units, dtype=policy, name=name)

        def blocks(name: str, causal: bool) -> Any:
            return [
                ByteNetBlock(
                    units // 2,
                    kernel_size,
                    dilation,
                    causal=causal,
                    kind=kind,
                    dropout=dropout,
                    dtype=policy,
                    name=f"{name}_{i}",
                )
                for i, dilation in enumerate([*dilations] * num_stacks)
            ]

        def dense(
            size: Any, name: str, activation: Activation | None = None, use_bias: bool = True
        ) -> keras.layers.Layer:
            return keras.layers.Dense(size, activation, use_bias, dtype=policy, name=name)

        self.source_embedding = embedding(source_vocabulary_size, "source_embedding")
        self.encoder_blocks = blocks("encoder_block", causal=False)
        # Nothing of the source, nothing added.
        self.bridge = dense(units, "bridge", use_bias=False)
        self.target_embedding = embedding(target_vocabulary_size, "target_embedding")
        self.decoder_blocks = blocks("decoder_block", causal=True)
        self.hidden = dense(units, "hidden", "relu")
        self.logits = dense(target_vocabulary_size, "logits")
        self.drop = keras.layers.Dropout(dropout, dtype=policy, name="dropout")

    def build(self, input_shape: Any) -> None:
        source, target = input_shape["source"], input_shape["target"]
        self.unfolding = self.add_weight(
            name="unfolding", shape=(self.units,), initializer="random_normal"
        )
        self.source_embedding.build(source)
        self.target_embedding.build(target)
        features = (source[0], None, self.units)
        for layer in (*self.encoder_blocks, *self.decoder_blocks):
            layer.build(features)
        for layer in (self.bridge, self.hidden, self.logits):
            layer.build(features)

    @property
    def source_offsets(self) -> Any:
        """Positions of the source, relative to the step, that a step of the decoder reads itself:
        a tuple, ascending. What the steps before it read reaches it, too."""
        return stacked_offsets(self.encoder_blocks)

    @property
    def receptive_field(self) -> int:
        """Number of the latest tokens of the target that the logits of the next depend on:
        `1 + (kernel_size - 1) num_stacks sum(dilations)`."""
        return 1 - stacked_offsets(self.decoder_blocks)[0]

    def unfolded_length(self, length: Any) -> Any:
        """|t'| of a source of `length` tokens, an integer or an int tensor."""
        if isinstance(length, int):
            return math.floor(self.length_ratio * length + self.length_margin + ROUNDING)
        unfolded = self.length_ratio * ops.cast(length, "float32") + self.length_margin
        return ops.cast(ops.floor(unfolded + ROUNDING), "int32")

    def call(self, inputs: Tensor, training: bool | None = None) -> Any:
        source, target = inputs["source"], inputs["target"]
        mask = inputs.get("source_mask", source != 0)
        steps = ops.shape(target)[1]
        read = self._encode(source, mask, training)
        x = embed_tokens(self.target_embedding, target)
        x = x + ops.pad(read, [[0, 0], [0, steps], [0, 0]])[:, :steps]
        x = self.drop(x, training=training)
        for block in self.decoder_blocks:
            x = block(x, training=training)
        return self._logits(x, training)

    def prepare(
        self, source: Tensor, source_mask: Tensor | None = None, training: bool | None = None
    ) -> tuple[Any, Any]:
        if not self.built:  # all sizes are known: a model that has seen no data can answer, too
            self.build({"source": (None, None), "target": (None, None)})
        mask = source != 0 if source_mask is None else source_mask
        return self._encode(source, mask, training), ops.cast(mask, "bool")

    def initial_state(self, memory: Tensor, max_length: int = 100) -> dict[str, Any]:
        batch_size = ops.shape(memory[0])[0]
        return {
            "position": ops.zeros((batch_size,), dtype="int32"),
            "buffers": [block.initial_state(batch_size) for block in self.decoder_blocks],
        }

    def step(
        self, token: Tensor, state: Any, memory: Tensor, width: Any = None
    ) -> tuple[Any, Any, Any]:
        read, mask = memory
        _, positions, units = ops.shape(read)
        # Each row of the memory is read at the positions of its rows of the state.
        position = queries_per_memory(ops.expand_dims(state["position"], -1), read, width)
        now = take_rows(read, ops.minimum(position[..., 0], positions - 1))
        now = ops.where(position < positions, now, ops.zeros((), dtype=now.dtype))
        x = self.target_embedding(token) + ops.reshape(now, (-1, units))
        buffers = []
        for block, buffer in zip(self.decoder_blocks, state["buffers"], strict=True):
            x, buffer = block.step(x, buffer)
            buffers.append(buffer)
        weights = ops.zeros((ops.shape(token)[0], ops.shape(mask)[1]), self.compute_dtype)
        return self._logits(x), {"position": state["position"] + 1, "buffers": buffers}, weights

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._config}

    def _encode(self, source: Tensor, mask: Tensor, training: bool | None = None) -> Any:
        """Input of the decoder at each step, `(B, N, units)`: 0 after |t'|."""
        mask = ops.cast(mask, "bool")
        steps = ops.shape(source)[1]
        longer = self.unfolded_length(steps) - steps
        longer = max(longer, 0) if isinstance(longer, int) else ops.maximum(longer, 0)
        lengths = ops.expand_dims(ops.sum(ops.cast(mask, "int32"), axis=1), 1)
        positions = ops.expand_dims(ops.arange(steps + longer, dtype="int32"), 0)
        is_read = positions < self.unfolded_length(lengths)
        is_token = ops.pad(mask, [[0, 0], [0, longer]], constant_values=False)
        x = self.drop(embed_tokens(self.source_embedding, source, mask), training=training)
        x = ops.pad(x, [[0, 0], [0, longer], [0, 0]])
        x = ops.where(ops.expand_dims(is_token, -1), x, ops.cast(self.unfolding, x.dtype))
        exists = ops.logical_or(is_token, is_read)
        for block in self.encoder_blocks:
            x = block(x, mask=exists, training=training)
        return self.bridge(zero_masked(x, is_read))

    def _logits(self, x: Tensor, training: bool | None = None) -> Tensor:
        return self.logits(self.drop(self.hidden(x), training=training))
