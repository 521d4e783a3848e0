"""The template of attention that remembers where it looked."""

import keras
from keras import ops

from keras_attention.layers.attention.attention_base import AttentionBase
from keras_attention.layers.validation import in_compute_dtype
from keras_attention.ops import mix, split_nonfinite


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

    def __init__(self, scorer, **kwargs):
        super().__init__(**kwargs)
        self.scorer = check_scorer(scorer=scorer)

    def build(self, query_shape, value_shape, key_shape=None):
        self._check_shapes(query_shape, value_shape, key_shape or value_shape)
        build_scorer(self.scorer, query_shape, value_shape, key_shape)

    def project_query(self, query):
        return self.scorer.project_query(query)

    def project_key(self, key):
        return self.scorer.project_key(key)

    def compute_scores(self, query, key):
        return self.scorer.compute_scores(query, key)

    def initial_state(self, memory):
        """See `AttentionBase`; the first tensor of `memory` is the projected key `(B, Tv, D)`."""
        raise NotImplementedError(f"{type(self).__name__} must define `initial_state`.")

    def weigh(self, query, key, mask, state, noise=None, training=None):
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
        query,
        key,
        value,
        mask=None,
        dropout_mask=None,
        noise=None,
        training=None,
        return_weights=True,
    ):
        state = self.initial_state((key, value, mask))
        output, weights, _ = self._attend(
            query, key, value, mask, state, dropout_mask, noise, training
        )
        return output, weights

    def step(self, query, state, memory, dropout_mask=None, noise=None, training=None):
        output, weights, state = self._attend(
            ops.expand_dims(query, 1), *memory, state, dropout_mask, noise, training
        )
        return output[:, 0], state, weights[:, 0]

    def call(
        self,
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        use_causal_mask=False,
        return_attention_scores=False,
        training=None,
    ):
        if query_mask is not None:
            # A query that may look nowhere moves nothing.
            looks = ops.expand_dims(ops.cast(query_mask, "bool"), 2)
            looks = ops.broadcast_to(looks, (*ops.shape(query)[:2], ops.shape(value)[1]))
            attention_mask = (
                looks
                if attention_mask is None
                else ops.logical_and(looks, ops.cast(attention_mask, "bool"))
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

    def get_config(self):
        config = {"scorer": keras.saving.serialize_keras_object(self.scorer)}
        return {**super().get_config(), **config}

    @classmethod
    def from_config(cls, config):
        scorer = keras.saving.deserialize_keras_object(config["scorer"])
        return cls(**{**config, "scorer": scorer})

    def _attend(self, query, key, value, mask, state, dropout_mask, noise, training):
        query = in_compute_dtype(self, query)
        # See `AttentionBase.attend`: what only some queries may see must not reach the others.
        differs_by_query = mask is not None and mask.shape[-2] != 1
        if differs_by_query:
            key, bad_key = split_nonfinite(key)
            value, bad_value = split_nonfinite(value)
        weights, state = self.weigh(query, key, mask, state, noise, training)
        if differs_by_query:
            weights = ops.where(_sees(mask, bad_key), float("nan"), weights)
            weights = ops.where(mask, weights, 0.0)
        context = mix(weights if dropout_mask is None else weights * dropout_mask, value)
        if differs_by_query:
            context = ops.where(_sees(mask, bad_value), float("nan"), context)
        return self.project_output(context), ops.cast(weights, self.compute_dtype), state

    def _check_shapes(self, query_shape, value_shape, key_shape):
        super()._check_shapes(query_shape, value_shape, key_shape)
        self.scorer._check_shapes(query_shape, value_shape, key_shape)


def check_scorer(**named):
    """Returns the one named layer if it scores `(B, Tq, Tv)` and does nothing else."""
    ((name, scorer),) = named.items()
    if (
        not isinstance(scorer, AttentionBase)
        or isinstance(scorer, StatefulAttention)
        or hasattr(scorer, "num_heads")
    ):
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


def build_scorer(scorer, query_shape, value_shape, key_shape):
    """Builds a scorer that another layer calls by its parts."""
    if not scorer.built:
        scorer.build(query_shape, value_shape, key_shape)
        scorer.built = True


def _sees(mask, bad):
    """Mask of the queries `(B, Tq, 1)` that may see a step that is `bad (B, Tv)`."""
    return ops.any(ops.logical_and(mask, ops.expand_dims(bad, -2)), axis=-1, keepdims=True)
