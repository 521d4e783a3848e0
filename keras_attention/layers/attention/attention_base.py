"""The attention template: project, score, mask, normalise, sum."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import LayerOptions, Shape, Tensor
from keras_attention.layers.attached_mask import mask_of
from keras_attention.layers.carry_mask import CarryMask
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.quantized_parts import QuantizedParts
from keras_attention.layers.validation import check_probability, check_sequence, in_compute_dtype
from keras_attention.ops import (
    PROBABILITIES,
    attended,
    causal_mask,
    combine_masks,
    zero_masked,
)
from keras_attention.ops.nonfinite import nan_where, nan_where_seen, take_out_nonfinite
from keras_attention.ops.weighted_sum import weighted_sum


class AttentionBase(CheckedCall, QuantizedParts, keras.layers.Layer):
    """Attends from `query` to `value` by scores that a subclass defines.

    A variant creates its weights in `build` and implements `project_query`, `project_key` and
    `compute_scores`; one with heads also `project_value` and `project_output`. Masks, softmax,
    dropout, shapes and configuration are here and nowhere else.

    Shapes: B batch, Tq query steps, Tv memory steps, D* feature sizes.

    Masking: boolean, True = may be attended to; masks that Keras attaches to the inputs
    (`Embedding(mask_zero=True)`) are used unless given. A query with nothing to attend to gets
    weights 0 and context 0. A masked query gets output 0, and its mask travels on with the
    output. What stands in a masked position, NaN included, reaches no output and no gradient.

    Steps: a decoder calls `memory = prepare(memory, memory_mask)` once, then
    `state = initial_state(memory)` and `output, state, weights = step(query, state, memory)` for
    each query.

    Args:
        dropout: fraction of the weights dropped in training, 0 <= dropout < 1. The weights that
            are returned are those before dropout.
        seed: integer that makes dropout and noise repeatable, or None.
        probability: what makes weights of scores: `"softmax"`; `"sparsemax"` or `"entmax15"`, with
            weights of exactly 0; `"hardmax"`, the highest alone, or `"gumbel"`, which draws it in
            training and passes a gradient on; `"sigmoid"`, each weight for itself, or
            `"normalized_sigmoid"`. See `keras_attention.ops`.

    Call arguments:
        query: `(B, Tq, Dq)`.
        value: `(B, Tv, Dv)`.
        key: `(B, Tv, Dk)`; `value` by default.
        query_mask: `(B, Tq)`.
        value_mask: `(B, Tv)`.
        key_mask: `(B, Tv)`; combined with `value_mask`.
        attention_mask: `(B, Tq, Tv)` or `(Tq, Tv)`, which query may see which value.
        use_causal_mask: whether a query sees only its own position and those before it, the last
            query being aligned with the last value.
        return_attention_scores: whether to return the weights (after softmax) too; the name is
            Keras'.
        training: whether dropout is active.

    Returns:
        Context `(B, Tq, Dv)`; with `return_attention_scores` also the weights `(B, Tq, Tv)`.

    Raises:
        ValueError: `dropout` is out of range; unknown `probability`; an input is not of rank 3;
            key and value differ in length; a mask has a rank that the scores do not have.
    """

    # What a layer around this one has to know.
    reads_memory = True  # the call takes a value apart from the query
    is_stateful = False  # weights depend on the queries before
    is_scorer = True  # one score for each pair, which another layer may use
    scores_keys = True  # these scores depend on the keys

    def __init__(
        self,
        dropout: float = 0.0,
        seed: int | None = None,
        probability: str = "softmax",
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= dropout < 1:
            raise ValueError(f"Expected 0 <= dropout < 1. Received: dropout={dropout}")
        self.supports_masking = True
        self.dropout = dropout
        self.seed = seed
        self.probability = check_probability(probability)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self._carry_mask = CarryMask(dtype=self.dtype_policy, name="carry_mask")

    def build(self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None) -> None:
        self._check_shapes(query_shape, value_shape, key_shape or value_shape)

    def project_query(self, query: Tensor) -> Tensor:
        """`(B, Tq, Dq)` to what `compute_scores` compares; the identity by default."""
        return query

    def project_key(self, key: Tensor) -> Tensor:
        """Project keys `(B, Tv, Dk)` for `compute_scores`, once for each memory."""
        return key

    def project_value(self, value: Tensor) -> Tensor:
        """`(B, Tv, Dv)` to what is mixed; the identity by default. Once per memory, too."""
        return value

    def precompute_key(self, key: Tensor) -> Any:
        """Precompute what the score needs of a projected key, once for all steps of a search.

        `compute_scores` takes the result in place of the key, to the same effect, and so does
        `attend` with a mask that is the same for all queries. It is the key itself by default.
        """
        return key

    def compute_scores(self, query: Tensor, key: Tensor) -> Tensor:
        """Scores `(..., Tq, Tv)`, before the softmax, of a projected query and key."""
        raise NotImplementedError(f"{type(self).__name__} must define `compute_scores`.")

    def weigh_scores(
        self, scores: Tensor, mask: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """Weights `(..., Tq, Tv)` of scores; `noise` is the result of `sample_noise`."""
        function = PROBABILITIES[self.probability]
        return function(scores, mask) if noise is None else function(scores, mask, noise)

    def project_output(self, context: Tensor) -> Tensor:
        """The mixed values to the output `(B, Tq, D)`; the identity by default."""
        return context

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None = None,
        dropout_mask: Tensor | None = None,
        noise: Tensor | None = None,
        training: bool | None = None,
        return_weights: bool = True,
    ) -> tuple[Any, Any]:
        """Attends to a memory that is projected already: what a decoder calls at each step.

        Args:
            query: `(B, Tq, Dq)`, not projected.
            key: the result of `project_key`.
            value: the result of `project_value`.
            mask: boolean, broadcastable to the scores.
            dropout_mask: the result of `sample_dropout`, or None.
            noise: the result of `sample_noise`, or None.
            training: training mode; some variants use soft weights in training, hard ones else.
            return_weights: whether the weights are needed. Without them a variant may have a way
                that never makes them.

        Returns:
            Output `(B, Tq, D)` and weights `(..., Tq, Tv)` in the layer's compute dtype, or None
            if they are not needed.
        """
        query = in_compute_dtype(self, query)
        key, value, nonfinite = take_out_nonfinite(key, value, mask)
        scores = self.compute_scores(self.project_query(query), key)
        scores = nan_where(scores, nonfinite.key)
        weights = self.weigh_scores(scores, mask, noise)
        context = weighted_sum(weights if dropout_mask is None else weights * dropout_mask, value)
        context = nan_where_seen(context, nonfinite.value, mask)
        weights = ops.cast(weights, self.compute_dtype) if return_weights else None
        return self.project_output(context), weights

    def attend_all(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor,
        training: bool | None,
        return_weights: bool,
        use_causal_mask: bool = False,
    ) -> Any:
        """`attend` for all queries of a call: what a variant with a kernel of its own overrides.

        Args:
            query, key, value, mask, training, return_weights: see `attend`. The mask is complete.
            use_causal_mask: already in `mask`; for kernels that skip blocks it masks wholly.
        """
        dropout_mask = noise = None
        if training:
            query_length = ops.shape(query)[1]
            noise = self.sample_noise(query_length, key)
            if self.dropout > 0:
                dropout_mask = self.sample_dropout(query_length, key)
        return self.attend(
            query, key, value, mask, dropout_mask, noise, training, return_weights=return_weights
        )

    def initial_state(self, memory: Tensor) -> Any:
        """State before the first query, which `step` changes: a flat list of tensors, batch first.

        Empty here; see `StatefulAttention`. `memory` is the result of `prepare`.
        """
        return []

    def step(
        self,
        query: Tensor,
        state: Any,
        memory: Tensor,
        dropout_mask: Tensor | None = None,
        noise: Tensor | None = None,
        training: bool | None = None,
    ) -> tuple[Any, Any, Any]:
        """One query of each sequence, of a decoder that has the next one only after this.

        Args:
            query: `(B, Dq)`.
            state: the result of `initial_state` or of the step before.
            memory: the result of `prepare`.
            dropout_mask, noise, training: see `attend`.

        Returns:
            Output `(B, D)`, the new state and weights `(B, ..., Tv)`.
        """
        key, value, mask = memory
        output, weights = self.attend(
            ops.expand_dims(query, 1), key, value, mask, dropout_mask, noise, training
        )
        return ops.squeeze(output, 1), state, ops.squeeze(weights, -2)

    def prepare(self, memory: Tensor, memory_mask: Tensor | None = None) -> tuple[Any, Any, Any]:
        """Tensors for `attend` that stay the same while a decoder reads `memory (B, Tv, D)`.

        Returns:
            The projected key, the projected value, and the boolean mask for the scores, which
            starts from `memory_mask (B, Tv)`, by default the mask that Keras attached to the
            memory; all True without one.
        """
        check_sequence("memory", memory.shape)
        if memory_mask is None:
            memory_mask = mask_of(memory)
        memory = zero_masked(in_compute_dtype(self, memory), memory_mask)
        mask = self._mask_for_scores(combine_masks(memory_mask))
        return self.project_key(memory), self.project_value(memory), mask

    def sample_dropout(self, query_length: Any, key: Tensor) -> Any:
        """Factors `(..., Tq, Tv)` for weights over a projected `key`: 0 or 1 / (1 - dropout)."""
        ones = ops.ones(self._pairs_shape(query_length, key), dtype="float32")
        return keras.random.dropout(ones, self.dropout, seed=self.seed_generator)

    def sample_noise(self, query_length: Any, key: Tensor) -> Any:
        """Noise `(..., Tq, Tv)` that the scores get in training, or None if they get none."""
        if self.probability != "gumbel":
            return None
        shape = self._pairs_shape(query_length, key)
        # Away from 0 and 1, where a logarithm of a logarithm is infinite.
        uniform = keras.random.uniform(shape, 1e-20, 1 - 1e-7, "float32", seed=self.seed_generator)
        return -ops.log(-ops.log(uniform))

    def check_given(self, given: Any) -> None:
        query, value = given.get("query"), given.get("value")
        query, value = value if query is None else query, query if value is None else value
        key = value if given.get("key") is None else given["key"]
        if all(hasattr(x, "shape") for x in (query, value, key)):
            self._check_shapes(query.shape, value.shape, key.shape)

    def call(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
        **options: Any,
    ) -> Any:
        key_is_value = key is None or key is value
        query, value = in_compute_dtype(self, query), in_compute_dtype(self, value)
        key = value if key_is_value else in_compute_dtype(self, key)
        if key_mask is not None:
            key_mask = ops.cast(key_mask, "bool")
            value_mask = key_mask if value_mask is None else ops.logical_and(key_mask, value_mask)
        query_mask = None if query_mask is None else ops.cast(query_mask, "bool")
        lengths = ops.shape(query)[1], ops.shape(value)[1]
        attention_mask = self._mask_of_pairs(attention_mask, query_mask, lengths[1])
        mask = self._mask_of_call(value_mask, attention_mask, use_causal_mask, *lengths)
        if mask is not None:
            value = zero_masked(value, attended(mask))
            key = value if key_is_value else zero_masked(key, attended(mask))
        if query_mask is not None:
            # Masked queries keep their weights, as in Keras, but must not spread a NaN.
            query = ops.where(
                ops.logical_or(ops.expand_dims(query_mask, -1), ops.isfinite(query)), query, 0.0
            )
        key = self.project_key(key)
        output, weights = self.attend_all(
            query,
            key,
            self.project_value(value),
            None if mask is None else self._mask_for_scores(mask),
            training,
            return_weights=return_attention_scores,
            use_causal_mask=use_causal_mask,
            **options,
        )
        if query_mask is not None:
            output = self._carry_mask(zero_masked(output, query_mask), mask=query_mask)
        return (output, weights) if return_attention_scores else output

    def compute_output_shape(
        self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None
    ) -> Shape:
        return self._output_shape(query_shape, value_shape)

    def compute_output_spec(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
        **options: Any,
    ) -> Any:
        key_shape = value.shape if key is None else key.shape
        self._check_shapes(query.shape, value.shape, key_shape)
        output_shape = self._output_shape(query.shape, value.shape)
        output = keras.KerasTensor(output_shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return output
        weights_shape = self._weights_shape(query.shape, value.shape)
        return output, keras.KerasTensor(weights_shape, dtype=self.compute_dtype)

    def compute_mask(self, query: Tensor, previous_mask: Tensor) -> Tensor | None:
        return previous_mask

    def get_config(self) -> dict[str, Any]:
        config = {"dropout": self.dropout, "seed": self.seed, "probability": self.probability}
        return {**super().get_config(), **config}

    def _mask_of_pairs(
        self, attention_mask: Tensor, query_mask: Tensor, value_length: Any
    ) -> Tensor:
        """The `attention_mask` of a call, and what a `query_mask` adds to it: nothing here."""
        return attention_mask

    def _mask_of_call(
        self,
        value_mask: Tensor,
        attention_mask: Tensor,
        use_causal_mask: bool,
        query_length: Any,
        value_length: Any,
    ) -> Tensor:
        """All masks of a call as one, or None; see `combine_masks`."""
        causal = causal_mask(query_length, value_length) if use_causal_mask else None
        return combine_masks(value_mask, attention_mask, causal)

    def _mask_for_scores(self, mask: Tensor) -> Tensor:
        """A mask `(B, Tq, Tv)` with the rank of this layer's scores."""
        if len(mask.shape) != 3:
            raise ValueError(
                "Expected masks for scores without heads: attention_mask (B, Tq, Tv) or (Tq, Tv), "
                f"value_mask (B, Tv). Received: masks that combine to {tuple(mask.shape)}"
            )
        return mask

    def _output_shape(self, query_shape: Shape, value_shape: Shape) -> Any:
        return (*query_shape[:-1], value_shape[-1])

    def _pairs_shape(self, query_length: Any, key: Tensor) -> Any:
        """Shape of the scores of so many queries and a projected key."""
        shape = ops.shape(key)
        return (*shape[:-2], query_length, shape[-2])

    def _weights_shape(self, query_shape: Shape, value_shape: Shape) -> Any:
        return (*query_shape[:-1], value_shape[-2])

    def _check_shapes(self, query_shape: Shape, value_shape: Shape, key_shape: Shape) -> None:
        named = {"query": query_shape, "value": value_shape, "key": key_shape}
        for name, shape in named.items():
            check_sequence(name, shape)
        sizes = {shape[0] for shape in named.values() if shape[0] is not None}
        if len(sizes) > 1:
            received = ", ".join(f"{n}.shape={tuple(shape)}" for n, shape in named.items())
            raise ValueError(
                f"Expected query, value and key of one batch size. Received: {received}"
            )
        if None not in (key_shape[1], value_shape[1]) and key_shape[1] != value_shape[1]:
            raise ValueError(
                "Expected key and value with the same number of steps. "
                f"Received: key.shape={tuple(key_shape)}, value.shape={tuple(value_shape)}"
            )
