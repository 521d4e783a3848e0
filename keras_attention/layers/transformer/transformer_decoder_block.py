"""One block of a Transformer's decoder."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import Activation, Initializer, LayerOptions, Shape, Tensor
from keras_attention.layers.transformer.transformer_block_base import TransformerBlockBase, merged
from keras_attention.layers.validation import in_compute_dtype
from keras_attention.ops import zero_masked
from keras_attention.ops.queries_per_memory import queries_per_memory


@keras.saving.register_keras_serializable(package="keras_attention")
class TransformerDecoderBlock(TransformerBlockBase):
    """Causal self-attention, attention to a memory, and a feed-forward network at each step.

    Each of the three within a residual, as in `TransformerEncoderBlock`. With `reads_memory=False`
    there is no attention to a memory: the block of a language model.

    Steps: `memory = prepare(memory, memory_mask)` and `state = initial_state(batch_size, length)`,
    then `outputs, state, weights = step(inputs, state, memory, position=t)`. The state is a cache
    of the keys and values so far, of fixed shape, and the outputs equal those rows of a call on the
    whole sequence. Several sequences may read one memory, as the hypotheses of a beam do.

    Masking: `inputs_mask` is the padding mask of the sequence (the causal mask alone does where
    padding stands at the end), `memory_mask` that of the memory. Padding is not attended to,
    reaches no output and no gradient; where it is masked, its own output is 0, and `inputs_mask`
    travels on with the output.

    Example:

    ```python
    block = TransformerDecoderBlock(num_heads=4, key_dim=16, feedforward_dim=256)
    x, memory = keras.ops.ones((2, 3, 64)), keras.ops.ones((2, 5, 64))
    y = block(x, memory)
    prepared, state = block.prepare(memory), block.initial_state(batch_size=2, length=3)
    for t in range(3):
        y_t, state, weights = block.step(x[:, t : t + 1], state, prepared, position=t)
    ```

    Args:
        num_heads: number H of heads.
        key_dim: size of query, key and value in each head.
        feedforward_dim: size of the inner layer at each step.
        norm: `"pre"`, which trains without warm-up, or `"post"`, as in the paper.
        activation: of the inner layer, a name or a function.
        dropout: fraction dropped, in training, of the weights of the attentions, of the inner layer
            and of what is added in a residual.
        norm_epsilon: what the norms add to the variance.
        kernel_initializer: initializer of all kernels.
        attention_options: further arguments of `MultiHeadSelfAttention`, by name: shared heads,
            window, norms of query and key, soft cap, sinks, `rotary`, `position_bias`.
        cross_attention_options: the same of `MultiHeadCrossAttention`, which reads the memory.
        reads_memory: whether there is a memory.
        seed: integer that makes the dropout repeatable, or None.

    Call arguments:
        inputs: `(B, Tt, D)`.
        memory: `(B, Ts, D')`, if the block reads one.
        inputs_mask: boolean `(B, Tt)`, which steps are no padding.
        memory_mask: boolean `(B, Ts)`, which steps of the memory are no padding.
        mask: another name for `inputs_mask`, which Keras fills in where there is no memory.
        return_attention_scores: whether to return weights, too: those over the memory if there is
            one, otherwise those of the self-attention.
        training: whether dropout is active.

    Returns:
        `(B, Tt, D)`; with `return_attention_scores` also the weights `(B, H, Tt, Ts)`.

    Raises:
        ValueError: a size is not a positive integer; unknown `norm`; `dropout` is out of range; a
            memory for a block that reads none, or none for one that does.

    Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, section 3.1; without a
    memory: Liu et al., 2018, https://arxiv.org/abs/1801.10198, section 4.2.3.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        feedforward_dim: int,
        norm: str = "pre",
        activation: Activation = "relu",
        dropout: float = 0.0,
        norm_epsilon: float = 1e-5,
        kernel_initializer: Initializer = "glorot_uniform",
        attention_options: dict[str, Any] | None = None,
        cross_attention_options: dict[str, Any] | None = None,
        reads_memory: bool = True,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            num_heads,
            key_dim,
            feedforward_dim,
            norm=norm,
            activation=activation,
            dropout=dropout,
            norm_epsilon=norm_epsilon,
            kernel_initializer=kernel_initializer,
            attention_options=attention_options,
            seed=seed,
            **kwargs,
        )
        self.cross_attention_options = dict(cross_attention_options or {})
        self.reads_memory = reads_memory
        if reads_memory:
            self.cross_attention = self._make_cross_attention(
                "cross_attention", self.cross_attention_options
            )
            self.cross_attention_norm = self._make_norm("cross_attention_norm")

    def build(self, inputs_shape: Shape, memory_shape: Shape | None = None) -> None:
        self._check_memory(memory_shape)
        self.build_feedforward(inputs_shape)
        if self.reads_memory:
            self.cross_attention.build(inputs_shape, memory_shape)
            self.cross_attention.built = True
            self.cross_attention_norm.build(inputs_shape)

    def call(
        self,
        inputs: Tensor,
        memory: Tensor | None = None,
        inputs_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        self._check_memory(memory)
        mask = merged(mask, inputs_mask)

        def attend(x: Tensor) -> Any:
            return self.self_attention(
                x,
                query_mask=mask,
                use_causal_mask=True,
                return_attention_scores=return_attention_scores and not self.reads_memory,
                training=training,
            )

        def read(x: Tensor) -> Any:
            return self.cross_attention(
                x,
                memory,
                query_mask=mask,
                value_mask=memory_mask,
                return_attention_scores=return_attention_scores,
                training=training,
            )

        inputs = in_compute_dtype(self, inputs)
        x = inputs if mask is None else zero_masked(inputs, mask)
        x, *weights = self.residual(x, attend, self.self_attention_norm, training)
        if self.reads_memory:
            x, *weights = self.residual(x, read, self.cross_attention_norm, training)
        x = self.with_mask(self.feedforward(x, training), mask)
        return (x, *weights) if return_attention_scores else x

    def prepare(self, memory: Tensor, memory_mask: Tensor | None = None) -> Any:
        """Tensors of `memory (B, Ts, D')` for `step`: key, value and mask, batch first.

        Without `memory_mask` it is the mask that Keras attached to the memory.
        """
        return self.cross_attention.prepare(memory, memory_mask)

    def initial_state(self, batch_size: Any, length: Any) -> Any:
        """An empty cache for `batch_size` sequences of at most `length` steps."""
        return self.self_attention.initial_state(batch_size, length)

    def step(
        self,
        inputs: Tensor,
        state: Any,
        memory: Tensor | None = None,
        *,
        position: Any,
        cache_mask: Tensor | None = None,
    ) -> tuple[Any, Any, Any]:
        """The next steps of sequences whose past is in a cache.

        Args:
            inputs: `(B W, n, D)`, W sequences for each memory, side by side.
            state: the cache, the result of `initial_state` or of the step before, `B W` rows.
            memory: the result of `prepare`, B rows; None if the block reads none.
            position: of the first of these steps: an integer, a scalar tensor, or `(B W,)`.
            cache_mask: see `MultiHeadSelfAttention.step`.

        Returns:
            Output `(B W, n, D)`, the new cache, and the weights over the memory `(B W, H, n, Ts)`,
            None where there is no memory.
        """
        self._check_memory(memory)

        def attend(x: Tensor) -> Any:
            return self.self_attention.step(x, state, position=position, cache_mask=cache_mask)

        inputs = in_compute_dtype(self, inputs)
        x, state, _ = self.residual(inputs, attend, self.self_attention_norm, False)
        weights = None
        if self.reads_memory:
            x, weights = self.residual(
                x, lambda x: self._read_rows(x, memory), self.cross_attention_norm, False
            )
        return self.feedforward(x, False), state, weights

    def compute_output_shape(self, inputs_shape: Shape, memory_shape: Shape | None = None) -> Shape:
        return inputs_shape

    def compute_output_spec(
        self,
        inputs: Tensor,
        memory: Tensor | None = None,
        inputs_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        output = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        read = inputs if memory is None else memory
        shape = (inputs.shape[0], self.num_heads, inputs.shape[1], read.shape[1])
        weights = keras.KerasTensor(shape, dtype=self.compute_dtype)
        return (output, weights) if return_attention_scores else output

    def get_config(self) -> dict[str, Any]:
        options = keras.saving.serialize_keras_object(self.cross_attention_options)
        return {
            **super().get_config(),
            "cross_attention_options": options,
            "reads_memory": self.reads_memory,
        }

    def _read_rows(self, x: Tensor, memory: Tensor) -> tuple[Any, Any]:
        """Attention of `x (B W, n, D)` to a memory of B rows: W n queries to each of them."""
        steps, batch, length = ops.shape(x)[1], ops.shape(memory[0])[0], ops.shape(memory[-1])[-1]
        # With the weights: the way that never makes them pays off for many queries alone.
        queries = queries_per_memory(x, memory[0])
        output, weights = self.cross_attention.attend(queries, *memory)
        weights = ops.reshape(weights, (batch, self.num_heads, -1, steps, length))
        weights = ops.reshape(
            ops.transpose(weights, (0, 2, 1, 3, 4)), (-1, self.num_heads, steps, length)
        )
        return ops.reshape(output, (-1, steps, output.shape[-1])), weights

    def _check_memory(self, memory: Tensor) -> None:
        if (memory is not None) != self.reads_memory:
            wanted = "a memory" if self.reads_memory else "no memory"
            raise ValueError(
                f"Expected {wanted} with reads_memory={self.reads_memory}. "
                f"Received: memory={memory!r}"
            )
