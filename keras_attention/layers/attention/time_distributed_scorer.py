"""Attention by any layer that gives one score to a vector of features."""

from typing import Any, Self, Unpack

import keras
from keras import ops

from keras_attention._types import AttentionOptions, Shape, Tensor
from keras_attention.layers.attention.attention_base import AttentionBase
from keras_attention.layers.validation import in_compute_dtype
from keras_attention.ops import additive_scores, zero_masked
from keras_attention.ops.precision import at_least_float32
from keras_attention.ops.weighted_sum import weighted_sum


@keras.saving.register_keras_serializable(package="keras_attention")
class TimeDistributedScorer(AttentionBase):
    """Applies one scorer to every step: `score(q, k) = scorer([q; k])`.

    With a scorer of two Dense layers, tanh and linear, this is the concatenate form in which the
    additive score is often drawn, and it costs what the additive score costs: a Dense over `[q; k]`
    is two projections, and `[q; k]` is never built. Called with one sequence and no query, it is
    attention pooling: `score(x_t) = scorer(x_t)`, and the result is the weighted mean of the steps.

    The scorer sees `(N, features)`, one row for each pair of query and key (each step when
    pooling), and returns `(N, 1)`: so any number of steps works, known or unknown, whatever the
    batch. `keras.layers.TimeDistributed` of Keras 3.14 and 3.15 loops over the batch instead of
    the steps when their number is unknown.

    Masking: see `AttentionBase`; when pooling, `mask`, `query_mask` or `value_mask` say which steps
    take part.

    Example:

    ```python
    query, memory = keras.ops.ones((2, 3, 32)), keras.ops.ones((2, 5, 48))
    scorer = keras.Sequential([keras.layers.Dense(64, "tanh"), keras.layers.Dense(1)])
    context = TimeDistributedScorer(scorer)(query, memory)
    pooled = TimeDistributedScorer(keras.layers.Dense(1))(memory)
    ```

    Args:
        scorer: a layer from `(N, D)` to `(N, 1)`.
        dropout: fraction of the weights dropped in training.
        seed: integer that makes the dropout repeatable, or None.

    Call arguments: see `AttentionBase`; `value` (or `query`) left out asks for pooling.

    Returns:
        Context `(B, Tq, Dv)` and, if asked for, weights `(B, Tq, Tv)`; when pooling a sequence
        `(B, T, D)`: `(B, D)` and `(B, T)`.

    Raises:
        ValueError: `scorer` is not a layer, or does not give one score to each row.

    Reference: Bahdanau, Cho and Bengio, 2015, https://arxiv.org/abs/1409.0473, section A.1.2;
    pooling: Yang et al., 2016, Hierarchical Attention Networks, equations 5 to 7.
    """

    def __init__(
        self,
        scorer: Any,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Unpack[AttentionOptions],
    ) -> None:
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        if not isinstance(scorer, keras.layers.Layer):
            raise ValueError(f"Expected scorer to be a Keras layer. Received: scorer={scorer!r}")
        self.scorer = scorer

    def build(
        self,
        query_shape: Shape | None = None,
        value_shape: Shape | None = None,
        key_shape: Shape | None = None,
    ) -> None:
        if query_shape is None and value_shape is None:
            raise ValueError("Expected a query and a value, or one sequence. Received: neither")
        if query_shape is None or value_shape is None:
            shape: Shape = query_shape or value_shape
            features = shape[-1]
        else:
            features = query_shape[-1] + (key_shape or value_shape)[-1]
            self._query_dim = query_shape[-1]
        if not self.scorer.built:
            self.scorer.build((None, features))
        shape = tuple(self.scorer.compute_output_shape((None, features)))
        if shape != (None, 1):
            raise ValueError(
                "Expected a scorer that gives one score to each row, (None, 1). "
                f"Received: scorer={self.scorer.name} with output shape {shape}"
            )

    def project_query(self, query: Tensor) -> Tensor:
        return self._project(query, slice(0, self._query_dim)) if self._first_dense else query

    def project_key(self, key: Tensor) -> Tensor:
        return self._project(key, slice(self._query_dim, None)) if self._first_dense else key

    def compute_scores(self, query: Tensor, key: Tensor) -> Tensor:
        if self._first_dense:
            return self._score_of_sums(query, key)
        batch, query_length, query_dim = ops.shape(query)
        value_length, key_dim = ops.shape(key)[1:]
        pairs = (batch, query_length, value_length)
        query = ops.broadcast_to(ops.expand_dims(query, 2), (*pairs, query_dim))
        key = ops.broadcast_to(ops.expand_dims(key, 1), (*pairs, key_dim))
        rows = ops.reshape(ops.concatenate([query, key], axis=-1), (-1, query_dim + key_dim))
        return ops.reshape(self._score_rows(rows), pairs)

    @property
    def _first_dense(self) -> Any:
        """The Dense that sees `[q; k]`, or None. Its kernel splits: `W [q; k] = W_q q + W_k k`."""
        if type(self.scorer) is keras.Sequential:
            first = self.scorer.layers[0] if self.scorer.layers else None
        else:
            first = self.scorer
        return first if _is_plain_dense(first) else None

    def _project(self, x: Tensor, rows: Tensor) -> Tensor:
        dense = self._first_dense
        # Of a scorer that is one Dense these are parts of the scores.
        is_last = dense is self.scorer or len(self.scorer.layers) == 1
        x = ops.cast(x, at_least_float32(dense.compute_dtype) if is_last else dense.compute_dtype)
        return ops.matmul(x, ops.cast(dense.kernel, x.dtype)[rows])

    def _score_of_sums(self, query: Tensor, key: Tensor) -> Tensor:
        first = self._first_dense
        rest = self.scorer.layers[1:] if first is not self.scorer else []
        if first.use_bias:
            query = query + ops.cast(first.bias, query.dtype)
        if first.activation is keras.activations.tanh and _is_linear(rest):
            (last,) = rest
            scores = additive_scores(query, key, last.kernel[:, 0])
            return scores + ops.cast(last.bias[0], scores.dtype) if last.use_bias else scores
        hidden = first.activation(ops.expand_dims(query, 2) + ops.expand_dims(key, 1))
        batch, query_length, value_length, units = ops.shape(hidden)
        rows = _scored(rest, ops.reshape(hidden, (-1, units)))
        return ops.reshape(rows, (batch, query_length, value_length))

    def _score_rows(self, rows: Tensor) -> Tensor:
        """Scores of rows `(N, D)`."""
        plain = type(self.scorer) is keras.Sequential
        return _scored(self.scorer.layers if plain else [self.scorer], rows)

    def call(
        self,
        query: Tensor | None = None,
        value: Tensor | None = None,
        key: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
        mask: Tensor | None = None,
    ) -> Any:
        if query is not None and value is not None:
            if mask is not None:
                raise ValueError(
                    "Expected query_mask or value_mask along with a query and a value. "
                    f"Received: mask of shape {tuple(mask.shape)}"
                )
            return super().call(
                query,
                value,
                key,
                query_mask=query_mask,
                value_mask=value_mask,
                key_mask=key_mask,
                attention_mask=attention_mask,
                use_causal_mask=use_causal_mask,
                return_attention_scores=return_attention_scores,
                training=training,
            )
        if any(x is not None for x in (key, key_mask, attention_mask)) or use_causal_mask:
            raise ValueError(
                "Expected a query and a value along with key, key_mask, attention_mask or "
                "use_causal_mask. Received: one sequence"
            )
        sequence = value if query is None else query
        masks = [ops.cast(m, "bool") for m in (mask, query_mask, value_mask) if m is not None]
        pooled, weights = self._pool(sequence, masks, training)
        return (pooled, weights) if return_attention_scores else pooled

    def _pool(self, sequence: Any, masks: Any, training: bool | None) -> tuple[Any, Any]:
        self._check_shapes(sequence.shape, sequence.shape, sequence.shape)
        sequence = in_compute_dtype(self, sequence)
        mask = None
        for other in masks:
            mask = other if mask is None else ops.logical_and(mask, other)
        if mask is not None:
            sequence = zero_masked(sequence, mask)
        batch, length, features = ops.shape(sequence)
        scores = self._score_rows(ops.reshape(sequence, (-1, features)))
        scores = ops.reshape(scores, (batch, 1, length))
        noise = self.sample_noise(1, sequence) if training else None
        weights = self.weigh_scores(
            scores, None if mask is None else ops.expand_dims(mask, 1), noise
        )
        drops = training and self.dropout > 0
        kept = weights * self.sample_dropout(1, sequence) if drops else weights
        pooled = weighted_sum(kept, sequence)
        return pooled[:, 0], ops.cast(weights[:, 0], self.compute_dtype)

    def compute_output_shape(
        self,
        query_shape: Shape | None = None,
        value_shape: Shape | None = None,
        key_shape: Shape | None = None,
    ) -> Shape:
        if query_shape is None or value_shape is None:
            shape: Shape = query_shape or value_shape
            batch, _, features = shape
            return (batch, features)
        return super().compute_output_shape(query_shape, value_shape, key_shape)

    def compute_output_spec(
        self,
        query: Tensor | None = None,
        value: Tensor | None = None,
        key: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
        mask: Tensor | None = None,
    ) -> Any:
        if query is not None and value is not None:
            return super().compute_output_spec(
                query, value, key, return_attention_scores=return_attention_scores
            )
        sequence: Tensor = value if query is None else query
        self._check_shapes(sequence.shape, sequence.shape, sequence.shape)
        batch, length, features = sequence.shape
        pooled = keras.KerasTensor((batch, features), dtype=self.compute_dtype)
        weights = keras.KerasTensor((batch, length), dtype=self.compute_dtype)
        return (pooled, weights) if return_attention_scores else pooled

    def compute_mask(self, query: Tensor, previous_mask: Tensor) -> Tensor | None:
        # A pooled vector has no steps left to mask; `call` attaches the mask of a query itself.
        return None

    def get_config(self) -> dict[str, Any]:
        config = {"scorer": keras.saving.serialize_keras_object(self.scorer)}
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        scorer = keras.saving.deserialize_keras_object(config["scorer"])
        return cls(**{**config, "scorer": scorer})


def _is_plain_dense(layer: Any) -> bool:
    """True if a layer computes `activation(kernel x + bias)` and nothing else."""
    return (
        type(layer) is keras.layers.Dense
        and layer.activity_regularizer is None
        and getattr(layer, "quantization_mode", None) is None
    )


def _scored(layers: Any, rows: Tensor) -> Tensor:
    """Rows through layers; what the last makes of them, the scores, in float32 at least."""
    for layer in layers[:-1]:
        rows = layer(rows)
    if not layers:
        return rows
    last = layers[-1]
    if not _is_plain_dense(last):
        return last(rows)
    rows = ops.cast(rows, at_least_float32(last.compute_dtype))
    scores = ops.matmul(rows, ops.cast(last.kernel, rows.dtype))
    if last.use_bias:
        scores = scores + ops.cast(last.bias, rows.dtype)
    return last.activation(scores)


def _is_linear(layers: Any) -> bool:
    """True if the layers are one Dense without activation."""
    if len(layers) != 1 or not _is_plain_dense(layers[0]):
        return False
    return layers[0].activation is keras.activations.linear
