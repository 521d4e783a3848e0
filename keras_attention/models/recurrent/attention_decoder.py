"""A decoder around an attention cell: teacher forcing, scheduled sampling, steps of a search."""

from typing import Any, Self, Unpack

import keras
from keras import ops

from keras_attention._types import LayerOptions, Tensor
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.quantized_parts import QuantizedParts
from keras_attention.layers.validation import in_compute_dtype
from keras_attention.models.recurrent.attention_cell import AttentionCell
from keras_attention.schedules import ConstantSampling


@keras.saving.register_keras_serializable(package="keras_attention")
class AttentionDecoder(CheckedCall, QuantizedParts, keras.layers.Layer):
    """Predicts a sequence step by step with an `AttentionCell`.

    Of tokens, if there is an `embedding`; of vectors, such as the frames of a spectrogram, if there
    is none. In training it reads the target (teacher forcing) or, with a probability that
    `sampling` says, its own last prediction (scheduled sampling):

    - a token drawn from its softmax and embedded ("sampling over embeddings");
    - the vector that it put out, through `next_input` if given ("sampling over outputs").

    Every step in training and in a search goes through `AttentionCell.step`.

    Steps: `memory = prepare(memory, memory_mask)` and `state = initial_state(memory)`, then
    `logits, state, weights = step(token, state, memory)` for each token.

    Masking: see `AttentionCell`; the mask of the target goes on with what is predicted.

    Example:

    ```python
    decoder = AttentionDecoder(
        AttentionCell(keras.layers.GRUCell(64), BahdanauAttention(64)),
        output_layer=keras.layers.Dense(1000),
        embedding=keras.layers.Embedding(1000, 32),
        sampling=InverseSigmoidSampling(k=500),
    )
    target, memory = keras.ops.array([[2, 5, 7, 4], [2, 8, 6, 0]]), keras.ops.ones((2, 5, 48))
    mask = keras.ops.array([[True] * 5, [True] * 4 + [False]])
    logits = decoder(target, memory, memory_mask=mask, training=True)

    prepared = decoder.prepare(memory, mask)
    state, step = decoder.initial_state(prepared), with_repeated_memory(decoder.step)
    found = beam_search(
        step, state, prepared, beam_width=4, batch_size=2, start_id=2, end_id=3, max_length=20
    )
    ```

    Args:
        cell: an `AttentionCell`.
        output_layer: a layer from the cell's output to logits `(..., V)` or to vectors.
        embedding: a layer from tokens to vectors, or None if the inputs are vectors.
        sampling: probability of reading what it said itself, a number or a function of the
            training step such as `LinearSampling`; 0 for teacher forcing. The step is counted in
            a weight of this layer.
        next_input: a layer from a vector put out to the next input, if they are not the same.
        seed: integer that makes the sampling repeatable, or None.

    Call arguments:
        target: int `(B, T)`, the start token first, or vectors `(B, T, D)`, those before the ones
            to predict.
        memory, memory_mask, initial_state, return_attention_scores: see `AttentionCell`.
        training: whether to sample, and whether dropout is active.

    Returns:
        Logits `(B, T, V)` or vectors `(B, T, D')`; then, if asked for, the weights.

    Raises:
        ValueError: `cell` is no `AttentionCell`; `next_input` along with an embedding.

    Reference: Bengio et al., 2015, https://arxiv.org/abs/1506.03099, section 2.4.
    """

    def __init__(
        self,
        cell: Any,
        output_layer: Any,
        embedding: Any = None,
        sampling: Any = 0.0,
        next_input: Any = None,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(cell, AttentionCell):
            raise ValueError(f"Expected cell to be an AttentionCell. Received: cell={cell!r}")
        if next_input is not None and embedding is not None:
            raise ValueError(
                "Expected next_input only without an embedding. "
                f"Received: next_input={next_input!r}, embedding={embedding!r}"
            )
        self.cell = cell
        self.output_layer = output_layer
        self.embedding = embedding
        self.sampling = sampling if callable(sampling) else ConstantSampling(sampling)
        self.next_input = next_input
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    @property
    def samples(self) -> bool:
        """True if training ever reads anything but the target."""
        constant = isinstance(self.sampling, ConstantSampling)
        return not (constant and self.sampling.probability == 0)

    def build(self, target_shape: Any, memory_shape: Any) -> None:
        inputs_shape = target_shape
        if self.embedding is not None:
            if not self.embedding.built:
                self.embedding.build(target_shape)
                self.embedding.built = True
            inputs_shape = (*target_shape, self.embedding.output_dim)
        if not self.cell.built:
            self.cell.build(inputs_shape, memory_shape)
            self.cell.built = True
        zeros = ops.zeros((1, self.cell.features_dim), dtype=self.compute_dtype)
        said = self.output_layer(zeros)
        if self.next_input is not None:
            self.next_input(said)
        if self.samples:
            self.iterations = self.add_weight(
                name="iterations", shape=(), dtype="int32", initializer="zeros", trainable=False
            )

    def prepare(self, memory: Tensor, memory_mask: Tensor | None = None) -> Any:
        """Tensors that all steps read: see `AttentionCell.prepare`."""
        return self.cell.prepare(memory, memory_mask)

    def initial_state(self, memory: Tensor, cell_state: Tensor | None = None) -> Any:
        """The state before the first step: see `AttentionCell.initial_state`."""
        return self.cell.initial_state(memory, cell_state)

    def step(self, token: Tensor, state: Any, memory: Tensor) -> tuple[Any, Any, Any]:
        """One step of a search: see `keras_attention.decoding.StepFunction`.

        `token` is int `(B,)`, or a vector `(B, D)` if there is no embedding. The weights are those
        of the first attention. One row for each row of the memory: for a beam search give it to
        `keras_attention.decoding.with_repeated_memory`.
        """
        inputs = token if self.embedding is None else self.embedding(token)
        output, state, weights = self.cell.step(inputs, state, memory)
        return self.output_layer(output), state, weights[0] if self.cell.is_list else weights

    def call(
        self,
        target: Tensor,
        memory: Tensor,
        memory_mask: Tensor | None = None,
        initial_state: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        if self.embedding is None:
            inputs = in_compute_dtype(self, target)
        else:
            inputs = self.embedding(target)
        prepared = self.prepare(memory, memory_mask)
        state = self.initial_state(prepared, initial_state)
        choose: Any = None
        extras: Any = ()
        if training and self.samples:
            choose, extras = self._choose, self._draws(inputs)
        outputs, weights, _ = self.cell.unroll(inputs, state, prepared, choose, extras, training)
        said = self.output_layer(outputs)
        return (said, weights) if return_attention_scores else said

    def generate(
        self,
        first: Any,
        memory: Tensor,
        steps: Any,
        memory_mask: Tensor | None = None,
        initial_state: Any = None,
    ) -> tuple[Any, Any]:
        """Vectors, of which each is read at the next step: without an embedding.

        Args:
            first: `(B, D)`, what is read at the first step.
            memory, memory_mask, initial_state: see `AttentionCell`.
            steps: how many, a positive integer.

        Returns:
            Vectors `(B, steps, D')`, and the weights `(B, steps, Tv)`.

        Raises:
            ValueError: there is an embedding: tokens are found by a search over `step`.
        """
        if self.embedding is not None:
            raise ValueError(
                "Expected a decoder of vectors; of tokens, give `step` to a search of "
                f"keras_attention.decoding. Received: embedding={self.embedding!r}"
            )
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ValueError(f"Expected steps >= 1. Received: steps={steps!r}")
        if not self.built:  # type: ignore[has-type]
            shape = (first.shape[0], steps, first.shape[-1])
            self.build(shape, keras.tree.map_structure(lambda x: x.shape, memory))
            self.built = True
        prepared = self.prepare(memory, memory_mask)
        state = self.initial_state(prepared, initial_state)
        inputs = ops.repeat(first[:, None], steps, axis=1)
        own = ops.broadcast_to(
            (ops.arange(steps) > 0)[None, :, None], (*ops.shape(first)[:1], steps, 1)
        )
        uniform = ops.zeros_like(inputs[..., :1])  # for tokens, of which there are none
        extras = (own, uniform)
        outputs, weights, _ = self.cell.unroll(inputs, state, prepared, self._choose, extras)
        return self.output_layer(outputs), weights

    def compute_mask(self, target: Tensor, previous_mask: Tensor) -> Tensor | None:
        return previous_mask

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        objects = ("cell", "output_layer", "embedding", "sampling", "next_input")
        config = {name: serialize(getattr(self, name)) for name in objects}
        return {**super().get_config(), **config, "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        deserialize = keras.saving.deserialize_keras_object
        objects = ("cell", "output_layer", "embedding", "sampling", "next_input")
        return cls(**{**config, **{name: deserialize(config[name]) for name in objects}})

    def _draws(self, inputs: Tensor) -> tuple[Any, Any]:
        """For each step, whether it reads what was said, and a uniform number for a token."""
        batch, steps = ops.shape(inputs)[:2]
        probability = self.sampling(self.iterations)
        self.iterations.assign(self.iterations + 1)
        # All drawn here: a generator's state must not change inside a loop.
        uniform = keras.random.uniform((2, batch, steps, 1), seed=self.seed_generator)
        first = ops.equal(ops.arange(steps), 0)[None, :, None]  # nothing was said before
        own = ops.logical_and(uniform[0] < probability, ops.logical_not(first))
        return own, uniform[1]

    def _choose(self, given: Any, previous: Tensor, own: Any, uniform: Any) -> Tensor:
        """The input of a step: the given one, or what the output before says where `own`."""
        said = self.output_layer(previous)
        if self.embedding is None:
            said = said if self.next_input is None else self.next_input(said)
        else:
            # A draw from the softmax by its cumulative distribution.
            shares = ops.cumsum(ops.softmax(ops.cast(said, "float32"), axis=-1), axis=-1)
            below = ops.cast(shares < ops.cast(uniform, "float32"), "int32")
            token = ops.minimum(ops.sum(below, axis=-1), said.shape[-1] - 1)
            said = self.embedding(ops.stop_gradient(token))
        return ops.where(own, ops.cast(said, given.dtype), given)
