"""Base class of all sequence-to-sequence models."""

import functools
from collections.abc import Callable
from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import LayerOptions, Tensor
from keras_attention.decoding import Hypotheses, NBest, beam_search, greedy, sample
from keras_attention.layers.quantized_parts import QuantizedParts
from keras_attention.models.argument_attributes import ArgumentAttributes


class Seq2Seq(ArgumentAttributes, QuantizedParts, keras.Model):
    """A model from a sequence of tokens to another; the base class.

    Token 0 is padding, in sources and targets. A subclass implements `call` and the steps; it gets
    decoding and the scoring of given pairs.

    Steps: `memory = prepare(source, source_mask)` and `state = initial_state(memory, max_length)`,
    then `logits, state, weights = step(token, state, memory)` for each token.

    Call arguments:
        inputs: `{"source": int (B, Ts), "target": int (B, Tt)}`; the target starts with `start_id`
            and lacks `end_id`, which the labels have.

    Returns:
        Logits `(B, Tt, target_vocabulary_size)`.
    """

    def __init__(self, start_id: int = 2, end_id: int = 3, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.start_id = start_id
        self.end_id = end_id

    def __call__(self, inputs: Tensor, *args: Any, **kwargs: Any) -> Any:
        self.check_inputs(inputs)
        return super().__call__(inputs, *args, **kwargs)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        # Before Keras wraps what is raised in an error of its own, of several lines.
        if isinstance(x, (dict, list, tuple)) or hasattr(x, "shape"):
            self.check_inputs(x)
        return super().fit(x, *args, **kwargs)

    def check_inputs(self, inputs: Tensor) -> None:
        """Raises ValueError unless the inputs are those of the class."""
        if not isinstance(inputs, dict) or not {"source", "target"} <= set(inputs):
            received = sorted(inputs) if isinstance(inputs, dict) else type(inputs).__name__
            raise ValueError(
                'Expected inputs {"source": int (B, Ts), "target": int (B, Tt)}. '
                f"Received: {received}"
            )

    def prepare(
        self, source: Tensor, source_mask: Tensor | None = None, training: bool | None = None
    ) -> Any:
        """Encode the source: the memory that all steps read, any structure of tensors, batch first.

        Args:
            source: int `(B, Ts)`.
            source_mask: boolean `(B, Ts)`; `source != 0` by default.
            training: whether dropout is active.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `prepare`.")

    def initial_state(self, memory: Tensor, max_length: int = 100) -> Any:
        """The state before the first step, any structure of tensors, batch first.

        Args:
            memory: the result of `prepare`.
            max_length: most steps that will follow, for a state that has room for all of them.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `initial_state`.")

    def step(self, token: Tensor, state: Any, memory: Tensor, width: Any = None) -> Any:
        """Advances by one token: see `keras_attention.decoding.StepFunction`.

        Token and state may hold W rows for each row of the memory, example-major; `width` tells W
        to graphs that do not know the size of the batch.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `step`.")

    def decode(
        self,
        source: Tensor,
        source_mask: Tensor | None = None,
        max_length: int = 100,
        **options: Any,
    ) -> Hypotheses:
        """Answers each source with the likeliest token at each step.

        Args:
            source: int `(B, Ts)`.
            source_mask: boolean `(B, Ts)`; `source != 0` by default.
            max_length: most tokens of an answer; a positive integer.
            options: `max_margin`, int or int `(B,)`, most tokens more than the source has; and
                what `keras_attention.decoding.greedy` takes: `max_lengths`, `constraints`.
        """
        return self._search(greedy, source, source_mask, max_length, **options)

    def beam_search(
        self,
        source: Tensor,
        source_mask: Tensor | None = None,
        max_length: int = 100,
        beam_width: int = 5,
        **options: Any,
    ) -> NBest:
        """Answers each source with the best of a beam search.

        Args:
            source: int `(B, Ts)`.
            source_mask: boolean `(B, Ts)`; `source != 0` by default.
            max_length: most tokens of an answer; a positive integer.
            beam_width: how many hypotheses go on at each step.
            options: `max_margin` as for `decode`, and what `keras_attention.decoding.beam_search`
                takes: `n_best`, `length_penalty`, `coverage_penalty`, `max_lengths`, `constraints`.
        """
        mask = source != 0 if source_mask is None else source_mask
        options = {"beam_width": beam_width, "memory_mask": mask, **options}
        return self._search(beam_search, source, mask, max_length, **options)

    def sample(
        self,
        source: Tensor,
        seeds: Tensor,
        source_mask: Tensor | None = None,
        max_length: int = 100,
        **options: Any,
    ) -> Hypotheses:
        """Answers each source with tokens that are drawn.

        Args:
            source: int `(B, Ts)`.
            seeds: int `(B,)`; the same seed draws the same answer to the same source again,
                whatever else is in the batch.
            source_mask: boolean `(B, Ts)`; `source != 0` by default.
            max_length: most tokens of an answer; a positive integer.
            options: `max_margin` as for `decode`, and what `keras_attention.decoding.sample`
                takes: `temperature`, `top_k`, `top_p`, `min_p`, `max_lengths`, `constraints`.
        """
        return self._search(sample, source, source_mask, max_length, seeds=seeds, **options)

    def _search(
        self,
        search: Callable[..., Any],
        source: Tensor,
        source_mask: Tensor,
        max_length: int,
        max_margin: Any = None,
        **options: Any,
    ) -> Any:
        memory = self.prepare(source, source_mask)
        state = self.initial_state(memory, max_length)
        if max_margin is not None:
            mask = source != 0 if source_mask is None else source_mask
            # No more than `max_length`, which is as good: a sum beyond int32 would be negative.
            margin = ops.cast(ops.minimum(max_margin, max_length), "int32")
            max_lengths = ops.sum(ops.cast(mask, "int32"), axis=1) + margin
            max_lengths = ops.maximum(max_lengths, 1)
            given = options.get("max_lengths")
            options["max_lengths"] = (
                max_lengths if given is None else ops.minimum(max_lengths, given)
            )
        width = options.get("beam_width", 1)
        return search(
            functools.partial(self.step, width=width),
            state,
            memory,
            batch_size=ops.shape(source)[0],
            start_id=self.start_id,
            end_id=self.end_id,
            max_length=max_length,
            **options,
        )

    def log_probability(
        self,
        source: Tensor,
        target: Tensor,
        source_mask: Tensor | None = None,
        target_lengths: Tensor | None = None,
    ) -> Tensor:
        """Natural log-probability `(B,)`, float32, of each target given its source.

        Args:
            source: int `(B, Ts)`.
            target: int `(B, Tt)`, without start and end.
            source_mask: boolean `(B, Ts)`; `source != 0` by default.
            target_lengths: int `(B,)`; the number of tokens other than 0 by default.
        """
        target = ops.cast(target, "int32")
        if target_lengths is None:
            target_lengths = ops.sum(ops.cast(target != 0, "int32"), axis=1)
        lengths = ops.cast(target_lengths, "int32")[:, None]
        positions = ops.arange(ops.shape(target)[1] + 1, dtype="int32")[None]
        target = ops.where(positions[:, 1:] <= lengths, target, 0)
        inputs = ops.pad(target, [[0, 0], [1, 0]], constant_values=self.start_id)
        labels = ops.pad(target, [[0, 0], [0, 1]])
        labels = ops.where(positions == lengths, self.end_id, labels)
        batch = {"source": source, "target": inputs}
        if source_mask is not None:
            batch["source_mask"] = source_mask
        logits = ops.cast(self(batch, training=False), "float32")
        log_probabilities = ops.log_softmax(logits, axis=-1)
        gains = ops.take_along_axis(log_probabilities, labels[..., None], axis=-1)[..., 0]
        return ops.sum(ops.where(positions <= lengths, gains, 0.0), axis=1)
