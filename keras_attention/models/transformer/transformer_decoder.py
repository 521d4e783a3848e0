"""The decoder of a Transformer, with a memory or without."""

from typing import Any

import keras
from keras import ops

from keras_attention._types import Shape, Tensor
from keras_attention.layers import TransformerDecoderBlock
from keras_attention.models.embedding_table import embedding_table
from keras_attention.models.transformer.transformer_stack import TransformerStack
from keras_attention.ops.matrix import by_rows

# What says how the memory is read; the rest of the options is about positions in the sequence.
FOR_BOTH = ("num_key_value_heads", "qk_norm", "soft_cap", "sinks", "use_bias")


@keras.saving.register_keras_serializable(package="keras_attention")
class TransformerDecoder(TransformerStack):
    """Predicts the next token from those before it and from a memory, if it reads one.

    Steps: `memory = prepare(memory, memory_mask)` and `state = initial_state(batch_size, length)`,
    then `logits, state, weights = step(token, state, memory)` for each token.

    Args:
        vocabulary_size: number of tokens.
        units: size of the vectors; a multiple of `num_heads`.
        num_heads, num_layers, feedforward_dim, norm, positions, max_positions, activation, dropout,
            attention_options, alignment_layer: see `TransformerSeq2Seq`.
        tie_embeddings: whether the logits use the embeddings as their kernel.
        reads_memory: whether there is a memory.

    Call arguments:
        target: int `(B, Tt)`, the tokens before those to predict, the start token first.
        memory: `(B, Ts, D)`, if the decoder reads one.
        memory_mask: boolean `(B, Ts)`, True = no padding.
        training: whether dropout is active.

    Returns:
        Logits `(B, Tt, vocabulary_size)`.

    Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.1; tied
    embeddings: Press and Wolf, 2017, https://arxiv.org/abs/1608.05859.
    """

    bidirectional = False

    def __init__(
        self,
        *args: Any,
        tie_embeddings: bool = False,
        reads_memory: bool = True,
        alignment_layer: int = -1,
        **kwargs: Any,
    ) -> None:
        self.reads_memory = reads_memory  # which `_make_block` asks for
        super().__init__(*args, **kwargs)
        if not -self.num_layers <= alignment_layer < self.num_layers:
            raise ValueError(
                f"Expected alignment_layer to be one of {self.num_layers} layers. "
                f"Received: alignment_layer={alignment_layer}"
            )
        self.tie_embeddings = tie_embeddings
        self.alignment_layer = alignment_layer
        if not tie_embeddings:
            self.logits = keras.layers.Dense(
                self.vocabulary_size, dtype=self.dtype_policy, name="logits"
            )

    def build(self, target_shape: Any, memory_shape: Any = None) -> None:
        self.build_stack(target_shape, *([memory_shape] if self.reads_memory else []))
        if self.tie_embeddings:
            self.output_bias = self.add_weight(
                name="output_bias", shape=(self.vocabulary_size,), initializer="zeros"
            )
        else:
            self.logits.build((None, self.units))

    def call(
        self,
        target: Tensor,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Any:
        x = self.embed(target, training=training)
        for block in self.blocks:
            given = {"memory_mask": memory_mask} if self.reads_memory else {}
            x = block(x, memory, training=training, **given)
        return self._logits(self.finish(x))

    def prepare(self, memory: Tensor, memory_mask: Tensor | None = None) -> Any:
        """Tensors of a memory that all steps read: for each block its keys, values and mask.

        Without `memory_mask` it is the mask that Keras attached to the memory.
        """
        return [block.prepare(memory, memory_mask) for block in self.blocks]

    def initial_state(self, batch_size: Any, length: Any) -> dict[str, Any]:
        """The state before the first step: positions `(B,)`, and a cache of each block, for at most
        `length` steps."""
        return {
            "position": ops.zeros((batch_size,), dtype="int32"),
            "caches": [block.initial_state(batch_size, length) for block in self.blocks],
        }

    def step(
        self, token: Tensor, state: Any, memory: Tensor | None = None, width: Any = None
    ) -> tuple[Any, Any, Any]:
        """One step of a search: see `keras_attention.decoding.StepFunction`.

        Rows may stand at different positions if the decoder reads no memory, after prompts of
        different length. The weights are the mean over the heads of one block, None without a
        memory.
        """
        position = state["position"]
        if self.reads_memory:
            # All rows are at one position: a number where the cache would take one for each.
            position = ops.max(position, initial=0)
        x, caches, weights = self.run_blocks(
            ops.expand_dims(token, 1), state["caches"], memory, position=position
        )
        state = {"position": state["position"] + 1, "caches": caches}
        logits = self._logits(self.finish(x))[:, 0]
        return logits, state, None if weights is None else weights[:, 0]

    def run_blocks(
        self, tokens: Tensor, caches: Any, memory: Tensor | None = None, *, position: Any
    ) -> tuple[Any, Any, Any]:
        """The next steps of sequences whose past is in caches, through all blocks.

        Args:
            tokens: int `(B W, n)`, W sequences for each memory, side by side.
            caches: those of the state.
            memory: the result of `prepare`, B rows; None if the decoder reads none.
            position: of the first of these steps: an integer, a scalar tensor, or `(B W,)`.

        Returns:
            Vectors `(B W, n, units)`, the new caches, and the weights `(B W, n, Ts)` over the
            memory, the mean over the heads of one block; None without.
        """
        x, new, alignment = self.embed(tokens, start=position, chosen=True), [], None
        for i, block in enumerate(self.blocks):
            own = None if memory is None else memory[i]
            x, cache, weights = block.step(x, caches[i], own, position=position)
            new.append(cache)
            if weights is not None and i == self.alignment_layer % self.num_layers:
                alignment = ops.mean(weights, axis=1)
        return x, new, alignment

    def compute_output_shape(self, target_shape: Any, memory_shape: Any = None) -> Shape:
        return (*target_shape, self.vocabulary_size)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "tie_embeddings": self.tie_embeddings,
            "reads_memory": self.reads_memory,
            "alignment_layer": self.alignment_layer,
        }

    def _make_block(self, name: str, **arguments: Any) -> keras.layers.Layer:
        options = arguments["attention_options"]
        cross = {key: value for key, value in options.items() if key in FOR_BOTH}
        return TransformerDecoderBlock(
            **arguments,
            cross_attention_options=cross,
            reads_memory=self.reads_memory,
            dtype=self.dtype_policy,
            name=name,
        )

    def _logits(self, x: Tensor) -> Tensor:
        if not self.tie_embeddings:
            return by_rows(self.logits, x)
        table = ops.transpose(ops.cast(embedding_table(self.embedding), x.dtype))
        return by_rows(lambda rows: ops.matmul(rows, table), x) + ops.cast(
            self.output_bias, x.dtype
        )
