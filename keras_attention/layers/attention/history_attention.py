"""Base class of location-sensitive and coverage attention: scores that see earlier weights."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import Initializer, Shape, StatefulOptions, Tensor
from keras_attention.layers.attention.stateful_attention import StatefulAttention
from keras_attention.layers.unroll import pack, unroll
from keras_attention.layers.validation import clone_initializer
from keras_attention.ops.matrix import by_rows
from keras_attention.ops.precision import at_least_float32


class HistoryAttention(StatefulAttention):
    """Adds what it makes of earlier weights to the projected keys, before they are scored.

    For the additive score this is a term of its own inside the tanh:
    `v . tanh(W q + U k_j + V f_j + b)`. A variant implements `features` and `remember`.
    """

    def __init__(
        self,
        scorer: Any,
        kernel_initializer: Initializer = "glorot_uniform",
        **kwargs: Unpack[StatefulOptions],
    ) -> None:
        super().__init__(scorer, **kwargs)
        if not scorer.scores_keys:
            raise ValueError(
                "Expected a scorer that reads the keys. Received: a LuongAttention with "
                "score='location', which does not"
            )
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None) -> None:
        super().build(query_shape, value_shape, key_shape)
        one_key = ops.zeros((1, 1, (key_shape or value_shape)[-1]), dtype=self.compute_dtype)
        self.history_dense = keras.layers.Dense(
            self.project_key(one_key).shape[-1],
            kernel_initializer=clone_initializer(self.kernel_initializer),
            dtype=self.dtype_policy,
            name="history",
        )

    def features(self, history: Tensor) -> Tensor:
        """Features of the state `(B, Tv)`: `(B, Tv, F)`, in the compute dtype."""
        raise NotImplementedError(f"{type(self).__name__} must define `features`.")

    def remember(self, history: Tensor, weights: Tensor) -> Any:
        """The next state `(B, Tv)` from this one and the weights of a query."""
        raise NotImplementedError(f"{type(self).__name__} must define `remember`.")

    def initial_state(self, memory: Tensor) -> Any:
        """The history `(B, Tv)` before the first query, float32 at least: nothing attended to."""
        key = memory[0]
        return [ops.zeros(ops.shape(key)[:2], dtype=at_least_float32(key.dtype))]

    def weigh(
        self,
        query: Tensor,
        key: Tensor,
        mask: Tensor,
        state: Any,
        noise: Tensor | None = None,
        training: bool | None = None,
    ) -> Any:
        query = self.project_query(query)
        # Masks and noise of each query are packed with it; a mask of all is captured by closure.
        by_query = [query]
        differs_by_query = mask is not None and mask.shape[-2] != 1
        batch, query_length = ops.shape(query)[:2]
        pairs = (batch, query_length, ops.shape(key)[1])
        if differs_by_query:
            by_query.append(ops.broadcast_to(mask, pairs))
        if noise is not None:
            by_query.append(ops.broadcast_to(noise, pairs))
        rows, unpack = pack(by_query, query)

        def advance(row: Tensor, state: Any) -> tuple[Any, Any]:
            (history,) = state
            parts = [ops.expand_dims(part, 1) for part in unpack(row)]
            own_mask = parts[1] if differs_by_query else mask
            own_noise = None if noise is None else parts[-1]
            seen = by_rows(self.history_dense, self.features(history))
            scores = self.compute_scores(parts[0], key + ops.cast(seen, key.dtype))
            weights = ops.squeeze(self.weigh_scores(scores, own_mask, own_noise), 1)
            following = self.remember(history, weights)
            if own_mask is not None:
                looks = ops.any(own_mask, axis=-1)
                following = ops.where(looks, following, history)
            return weights, [following]

        return unroll(advance, rows, state)

    def get_config(self) -> dict[str, Any]:
        config = {"kernel_initializer": keras.initializers.serialize(self.kernel_initializer)}
        return {**super().get_config(), **config}
