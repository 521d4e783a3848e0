"""The template of attention that remembers where it looked."""

from typing import Any, Self, Unpack

import keras
from keras import ops

from keras_attention._types import Shape, StatefulOptions, Tensor
from keras_attention.layers.attention.attention_base import AttentionBase
from keras_attention.layers.validation import in_compute_dtype
from keras_attention.ops.nonfinite import nan_where_seen, take_out_nonfinite
from keras_attention.ops.weighted_sum import weighted_sum


class StatefulAttention(AttentionBase):
    """Attention whose weights depend on the queries before; its scores are those of another layer.

    A variant implements `initial_state` and `weigh`. `call` and `attend` take the queries of a
    sequence in order, from the initial state; a decoder calls `step` and carries the state along.

    Masking: see `AttentionBase`. A query with nothing to attend to leaves the state as it was, and
    so does a masked query, whose weights are 0.

    Args:
        scorer: a layer with scores `(B, Tq, Tv)`: `BahdanauAttention`, `LuongAttention` or
            `TimeDistributedScorer`, whose weights become part of this one. It has no dropout and
            no probability of its own.

    Call arguments and returns: see `AttentionBase`.

    Raises:
        ValueError: `scorer` is no such layer.
    """

    is_stateful = True
    is_scorer = False

    def __init__(self, scorer: Any, **kwargs: Unpack[StatefulOptions]) -> None:
        super().__init__(**kwargs)
        self.scorer = check_scorer(scorer=scorer)

    def build(self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None) -> None:
        self._check_shapes(query_shape, value_shape, key_shape or value_shape)
        build_scorer(self.scorer, query_shape, value_shape, key_shape)

    def project_query(self, query: Tensor) -> Tensor:
        return self.scorer.project_query(query)

    def project_key(self, key: Tensor) -> Tensor:
        return self.scorer.project_key(key)

    def compute_scores(self, query: Tensor, key: Tensor) -> Tensor:
        return self.scorer.compute_scores(query, key)

    def initial_state(self, memory: Tensor) -> Any:
        """See `AttentionBase`; the first tensor of `memory` is the projected key `(B, Tv, D)`."""
        raise NotImplementedError(f"{type(self).__name__} must define `initial_state`.")

    def weigh(
        self,
        query: Tensor,
        key: Tensor,
        mask: Tensor,
        state: Any,
        noise: Tensor | None = None,
        training: bool | None = None,
    ) -> Any:
        """Weights of queries that follow each other, and the state after the last.

        Args:
            query: `(B, Tq, Dq)`, not projected.
            key: `(B, Tv, D)`, projected, finite wherever a query may not look.
            mask: boolean `(B, Tq, Tv)` or `(B, 1, Tv)`, or None.
            state: a flat list of tensors, batch first.
            noise, training: see `attend`.

        Returns:
            Weights `(B, Tq, Tv)`, float32 at least, and the new state.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `weigh`.")

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
        state = self.initial_state((key, value, mask))
        output, weights, _ = self._attend(
            query, key, value, mask, state, dropout_mask, noise, training
        )
        return output, weights

    def step(
        self,
        query: Tensor,
        state: Any,
        memory: tuple[Tensor, Tensor, Tensor],
        dropout_mask: Tensor | None = None,
        noise: Tensor | None = None,
        training: bool | None = None,
    ) -> tuple[Any, Any, Any]:
        output, weights, state = self._attend(
            ops.expand_dims(query, 1), *memory, state, dropout_mask, noise, training
        )
        return output[:, 0], state, weights[:, 0]

    def get_config(self) -> dict[str, Any]:
        config = {"scorer": keras.saving.serialize_keras_object(self.scorer)}
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        scorer = keras.saving.deserialize_keras_object(config["scorer"])
        return cls(**{**config, "scorer": scorer})

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor,
        state: Any,
        dropout_mask: Tensor,
        noise: Tensor,
        training: bool | None,
    ) -> tuple[Any, Any, Any]:
        query = in_compute_dtype(self, query)
        key, value, nonfinite = take_out_nonfinite(key, value, mask)
        weights, state = self.weigh(query, key, mask, state, noise, training)
        if nonfinite.key is not None:
            weights = nan_where_seen(weights, nonfinite.key, mask)
            weights = ops.where(mask, weights, 0.0)
        context = weighted_sum(weights if dropout_mask is None else weights * dropout_mask, value)
        context = nan_where_seen(context, nonfinite.value, mask)
        return self.project_output(context), ops.cast(weights, self.compute_dtype), state

    def _mask_of_pairs(
        self, attention_mask: Tensor, query_mask: Tensor, value_length: Any
    ) -> Tensor:
        # A query that may attend to nothing leaves the state as it was.
        if query_mask is None:
            return attention_mask
        attends = ops.broadcast_to(
            ops.expand_dims(query_mask, 2), (*ops.shape(query_mask), value_length)
        )
        if attention_mask is None:
            return attends
        return ops.logical_and(attends, ops.cast(attention_mask, "bool"))

    def _check_shapes(self, query_shape: Shape, value_shape: Shape, key_shape: Shape) -> None:
        super()._check_shapes(query_shape, value_shape, key_shape)
        self.scorer._check_shapes(query_shape, value_shape, key_shape)


def check_scorer(**named: Any) -> Any:
    """Returns the one named layer if it scores `(B, Tq, Tv)` and does nothing else."""
    ((name, scorer),) = named.items()
    if not getattr(scorer, "is_scorer", False):
        raise ValueError(
            f"Expected {name} to be an attention layer without heads and without state, such as "
            f"BahdanauAttention(units) or LuongAttention('general'). Received: {name}={scorer!r}"
        )
    if scorer.dropout or scorer.probability != "softmax":
        raise ValueError(
            f"Expected {name} without dropout and probability, which are for the layer around it. "
            f"Received: {name}.dropout={scorer.dropout}, {name}.probability={scorer.probability!r}"
        )
    return scorer


def build_scorer(
    scorer: Any, query_shape: Shape, value_shape: Shape, key_shape: Shape | None
) -> None:
    """Builds a scorer that another layer calls by its parts."""
    if not scorer.built:
        scorer.build(query_shape, value_shape, key_shape)
        scorer.built = True
