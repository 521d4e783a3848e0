"""The convolutional decoder of ConvS2S, every layer of which reads the source."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import LayerOptions, Shape, Tensor
from keras_attention.layers import ConvGluBlock, LuongAttention
from keras_attention.layers.attached_mask import mask_of
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.quantized_parts import QuantizedParts
from keras_attention.layers.validation import in_compute_dtype
from keras_attention.models.argument_attributes import ArgumentAttributes
from keras_attention.models.convolution.conv_encoder import embedding
from keras_attention.models.token_embedding import embed_tokens
from keras_attention.ops import zero_masked
from keras_attention.ops.queries_per_memory import queries_per_memory

ALIGNMENTS = ("last", "mean")


@keras.saving.register_keras_serializable(package="keras_attention")
class ConvDecoder(ArgumentAttributes, CheckedCall, QuantizedParts, keras.layers.Layer):
    """Predicts the next token by causal gated convolutions that attend, each, to the source.

    With e the embedded token and its position, x what the layer below gives, g = a . sigmoid(b) the
    gated convolution of x (see `ConvGluBlock`), and U, V linear maps of each step,

        q = sqrt(1/2) (U g + e)
        c = sqrt(m) sum_j softmax_j(q . key_j) value_j
        y = sqrt(1/2) (x + sqrt(1/2) (g + V c))

    for a source of m tokens: the average of m numbers varies less than each, and sqrt(m) makes up
    for it where all weights are alike.

    Steps: `memory = prepare(keys, values, memory_mask)` and `state = initial_state(memory)`, then
    `logits, state, weights = step(token, state, memory)` for each token.

    Args:
        vocabulary_size: number of tokens.
        units: size of the blocks.
        embedding_dim: size of embeddings and of what is read.
        kernel_size: how many steps each convolution sees.
        num_layers: number of blocks.
        num_positions: number of position embeddings; all later positions share the last.
        alignment: which weights a step returns: those of the `"last"` layer, or the `"mean"` of
            all.
        dropout: fraction dropped of the embeddings, of what the convolutions read, and before the
            logits.

    Call arguments:
        target: int `(B, Tt)`, the tokens before those to predict, the start token first.
        keys, values: `(B, Ts, embedding_dim)`.
        memory_mask: boolean `(B, Ts)`, True = no padding; see `prepare`.
        training: whether dropout is active.

    Returns:
        Logits `(B, Tt, vocabulary_size)`.

    Reference: Gehring et al., 2017, https://arxiv.org/abs/1705.03122, section 3.3, equations 1 and
    2, and section 3.4.
    """

    def __init__(
        self,
        vocabulary_size: int,
        units: int,
        embedding_dim: int,
        kernel_size: int = 3,
        num_layers: int = 3,
        num_positions: int = 256,
        alignment: str = "last",
        dropout: float = 0.0,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        if alignment not in ALIGNMENTS:
            raise ValueError(
                f"Expected alignment to be one of {ALIGNMENTS}. Received: alignment={alignment!r}"
            )
        self._config = {
            "vocabulary_size": vocabulary_size,
            "units": units,
            "embedding_dim": embedding_dim,
            "kernel_size": kernel_size,
            "num_layers": num_layers,
            "num_positions": num_positions,
            "alignment": alignment,
            "dropout": dropout,
        }
        self.vocabulary_size = vocabulary_size
        self.units, self.embedding_dim = units, embedding_dim
        self.num_positions, self.alignment = num_positions, alignment
        policy = self.dtype_policy

        def dense(size: Any, name: str) -> keras.layers.Layer:
            return keras.layers.Dense(size, dtype=policy, name=name)

        self.embedding = embedding(vocabulary_size, embedding_dim, policy, "embedding")
        self.positions = embedding(num_positions, embedding_dim, policy, "positions")
        self.drop = keras.layers.Dropout(dropout, dtype=policy, name="dropout")
        self.enter = dense(units, "enter")
        self.blocks = [
            ConvGluBlock(units, kernel_size, dropout=dropout, dtype=policy, name=f"block_{i}")
            for i in range(num_layers)
        ]
        self.queries = [dense(embedding_dim, f"query_{i}") for i in range(num_layers)]
        self.attention = LuongAttention("dot", dtype=policy, name="attention")
        self.contexts = [dense(units, f"context_{i}") for i in range(num_layers)]
        self.leave = dense(embedding_dim, "leave")
        self.logits = dense(vocabulary_size, "logits")

    def build(self, target_shape: Any, keys_shape: Any, values_shape: Any = None) -> None:
        features, read = (*target_shape, self.units), (*target_shape, self.embedding_dim)
        self.embedding.build(target_shape)
        self.positions.build(target_shape)
        self.enter.build(read)
        for block, query, context in self._stack():
            block.build(features)
            query.build(features)
            context.build(read)
        self.attention.build(read, keys_shape)
        self.leave.build(features)
        self.logits.build(read)

    def prepare(
        self, keys: Tensor, values: Tensor, memory_mask: Tensor | None = None
    ) -> tuple[Any, Any, Any]:
        """Tensors that all steps read: keys, values and mask `(B, 1, Ts)`.

        Without `memory_mask` it is what Keras attached to the keys and the values.
        """
        if memory_mask is None:
            memory_mask = ops.logical_and(mask_of(keys), mask_of(values))
        keys, _, mask = self.attention.prepare(keys, memory_mask)
        values = zero_masked(in_compute_dtype(self, values), ops.cast(memory_mask, "bool"))
        count = ops.sum(ops.cast(mask, "float32"), axis=-1, keepdims=True)  # (B, 1, 1)
        return keys, values * ops.cast(ops.sqrt(count), values.dtype), mask

    def initial_state(self, memory: Tensor) -> dict[str, Any]:
        """The state before the first step: position and buffers. `memory` is prepared."""
        batch_size = ops.shape(memory[0])[0]
        buffers = [block.initial_state(batch_size) for block in self.blocks]
        return {"position": ops.zeros((batch_size,), dtype="int32"), "buffers": buffers}

    def call(
        self,
        target: Tensor,
        keys: Tensor,
        values: Tensor,
        memory_mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Any:
        memory = self.prepare(keys, values, memory_mask)
        steps = ops.minimum(ops.arange(ops.shape(target)[1]), self.num_positions - 1)
        embedded = embed_tokens(self.embedding, target) + self.positions(steps)
        embedded = self.drop(embedded, training=training)
        x = self.enter(embedded)
        for block, query, context in self._stack():
            convolved = block.convolution(block.drop(block.before(x), training=training))
            gated = block.gate(convolved)
            read, _ = self._attend(query(gated), embedded, memory, return_weights=False)
            x = block.join(x, block.join(gated, context(read)))
        return self._logits(x, training)

    def step(
        self, token: Tensor, state: Any, memory: Tensor, width: Any = None
    ) -> tuple[Any, Any, Any]:
        """One step of a search: see `keras_attention.decoding.StepFunction`."""
        position = ops.minimum(state["position"], self.num_positions - 1)
        embedded = self.embedding(token) + self.positions(position)
        x = self.enter(embedded)
        buffers, alignments = [], []
        for (block, query, context), buffer in zip(self._stack(), state["buffers"], strict=True):
            convolved, buffer = block.convolution.step(block.before(x), buffer)
            buffers.append(buffer)
            gated = block.gate(convolved)
            asked = queries_per_memory(query(gated), memory[0], width)
            own = queries_per_memory(embedded, memory[0], width)
            read, weights = self._attend(asked, own, memory)
            read = ops.reshape(read, (-1, self.embedding_dim))
            x = block.join(x, block.join(gated, context(read)))
            alignments.append(ops.reshape(weights, (-1, ops.shape(weights)[-1])))
        if self.alignment == "last":
            weights = alignments[-1]
        else:
            weights = sum(alignments) / len(alignments)
        return self._logits(x), {"position": state["position"] + 1, "buffers": buffers}, weights

    def compute_output_shape(
        self, target_shape: Any, keys_shape: Any = None, values_shape: Any = None
    ) -> Shape:
        return (*target_shape, self.vocabulary_size)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._config}

    def _stack(self) -> Any:
        return list(zip(self.blocks, self.queries, self.contexts, strict=True))

    def _attend(
        self,
        asked: Any,
        embedded: Tensor,
        memory: tuple[Tensor, Tensor, Tensor],
        return_weights: bool = True,
    ) -> Any:
        """Contexts `(B, T, E)` of queries of which `asked` is the layer's own part."""
        query = (asked + embedded) * 0.5**0.5
        return self.attention.attend(query, *memory, return_weights=return_weights)

    def _logits(self, x: Tensor, training: bool | None = None) -> Tensor:
        return self.logits(self.drop(self.leave(x), training=training))
