"""Heads around the attention template."""

from typing import Any, Self, Unpack

import keras
from keras import ops

from keras_attention._types import (
    AttentionOptions,
    Constraint,
    Initializer,
    Regularizer,
    Shape,
    Tensor,
)
from keras_attention.layers.attention.attention_base import AttentionBase
from keras_attention.layers.multi_head.head_dense import IntoHeads, OutOfHeads
from keras_attention.layers.validation import check_positive, clone_initializer, in_compute_dtype
from keras_attention.ops import (
    combine_masks,
    dot_product_attention,
    dot_scores,
    sliding_window_mask,
)
from keras_attention.ops.masks import hiding_bias


class MultiHeadBase(AttentionBase):
    """Scaled dot product in `num_heads` subspaces: `softmax(q . k / sqrt(key_dim))` in each.

    Projects query, key and value to `(B, H, T, key_dim)`, attends in every head, joins the heads
    and projects the result. Reference: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762,
    section 3.2, equation 1.
    """

    is_scorer = False

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_dim: int | None = None,
        kernel_initializer: Initializer = "glorot_uniform",
        seed: int | None = None,
        num_key_value_heads: int | None = None,
        window: int | None = None,
        qk_norm: bool = False,
        soft_cap: float | None = None,
        sinks: bool = False,
        position_bias: keras.layers.Layer | None = None,
        rotary: keras.layers.Layer | None = None,
        bias_initializer: Initializer = "zeros",
        kernel_regularizer: Regularizer | None = None,
        bias_regularizer: Regularizer | None = None,
        kernel_constraint: Constraint | None = None,
        bias_constraint: Constraint | None = None,
        **kwargs: Unpack[AttentionOptions],
    ) -> None:
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        self.num_heads = check_positive(num_heads=num_heads)
        self.key_dim = check_positive(key_dim=key_dim)
        self.value_dim = None if value_dim is None else check_positive(value_dim=value_dim)
        self.output_dim = None if output_dim is None else check_positive(output_dim=output_dim)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.num_key_value_heads = num_key_value_heads
        if num_key_value_heads is not None:
            check_positive(num_key_value_heads=num_key_value_heads)
            if num_heads % num_key_value_heads:
                raise ValueError(
                    "Expected num_heads to be a multiple of num_key_value_heads. Received: "
                    f"num_heads={num_heads}, num_key_value_heads={num_key_value_heads}"
                )
        self.window = None if window is None else check_positive(window=window)
        self.qk_norm = qk_norm
        if soft_cap is not None and not soft_cap > 0:
            raise ValueError(f"Expected soft_cap > 0 or None. Received: soft_cap={soft_cap}")
        self.soft_cap = soft_cap
        self.sinks = sinks
        self.position_bias = position_bias
        self.rotary = rotary
        if sinks and self.probability != "softmax":
            raise ValueError(
                'Expected sinks with the probability "softmax" only. '
                f"Received: probability={self.probability!r}"
            )

    def build(self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None) -> None:
        key_shape = key_shape or value_shape
        self._check_shapes(query_shape, value_shape, key_shape)
        value_dim = self.value_dim or self.key_dim
        output_dim = self.output_dim or query_shape[-1]
        heads, shared = self.num_heads, self.num_key_value_heads or self.num_heads
        self.query_dense = self._projection("query", heads, self.key_dim, query_shape)
        self.key_dense = self._projection("key", shared, self.key_dim, key_shape)
        self.value_dense = self._projection("value", shared, value_dim, value_shape)
        if self.qk_norm:
            self.query_norm = self._norm("query_norm", heads)
            self.key_norm = self._norm("key_norm", shared)
        if self.sinks:
            self.attention_sinks = self.add_weight(
                name="sinks", shape=(heads,), initializer="zeros"
            )
        if self.position_bias is not None and not self.position_bias.built:
            self.position_bias.build((None,), (None,))
            self.position_bias.built = True
        self.output_dense = OutOfHeads(
            output_dim,
            **self._weight_options(),
            name="output",
        )
        self.output_dense.build((query_shape[0], self.num_heads, query_shape[1], value_dim))

    def project_query(self, query: Tensor, positions: Any = None) -> Tensor:
        query = self.query_dense(query)
        query = self.query_norm(query) if self.qk_norm else query
        query = query if self.rotary is None else self.rotary(query, positions)
        # Scaled here, before the product: float16 would overflow in it.
        return query * self.key_dim**-0.5

    def project_key(self, key: Tensor, positions: Any = None) -> Tensor:
        """Keys `(B, K, Tv, key_dim)`; `positions` of theirs, the first ones by default."""
        key = self.key_dense(key)
        key = self.key_norm(key) if self.qk_norm else key
        return key if self.rotary is None else self.rotary(key, positions)

    def project_value(self, value: Tensor) -> Tensor:
        return self.value_dense(value)

    def compute_scores(self, query: Tensor, key: Tensor) -> Tensor:
        return dot_scores(query, key)

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
        bias: Tensor | None = None,
    ) -> Any:
        return self._attend_heads(
            in_compute_dtype(self, query),
            key,
            value,
            return_weights,
            mask=mask,
            bias=bias,
            window=self.window,
            dropout_mask=dropout_mask,
            noise=noise,
        )

    def attend_all(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor,
        training: bool | None,
        return_weights: bool,
        use_causal_mask: bool = False,
        bias: Tensor | None = None,
    ) -> Any:
        return self._attend_heads(
            query,
            key,
            value,
            return_weights,
            mask=mask,
            bias=bias,
            causal=use_causal_mask,
            window=self.window,
            dropout=self.dropout if training else 0.0,
            noise=self.sample_noise(ops.shape(query)[1], key) if training else None,
        )

    def project_output(self, context: Tensor) -> Tensor:
        return self.output_dense(context)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "use_bias": self.use_bias,
            "output_dim": self.output_dim,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "num_key_value_heads": self.num_key_value_heads,
            "window": self.window,
            "qk_norm": self.qk_norm,
            "soft_cap": self.soft_cap,
            "sinks": self.sinks,
            "position_bias": keras.saving.serialize_keras_object(self.position_bias),
            "rotary": keras.saving.serialize_keras_object(self.rotary),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        layers = {
            name: keras.saving.deserialize_keras_object(config.get(name))
            for name in ("position_bias", "rotary")
        }
        return cls(**{**config, **layers})

    def _attend_heads(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        return_weights: bool,
        positions: Any = None,
        bias: Tensor | None = None,
        **options: Any,
    ) -> tuple[Any, Any]:
        """Output and weights; `positions` of the queries, the last ones by default."""
        query_length, value_length = ops.shape(query)[1], ops.shape(key)[2]
        if positions is None and (self.position_bias is not None or self.rotary is not None):
            positions = ops.arange(query_length) + (value_length - query_length)
        if self.position_bias is not None:
            found = self.position_bias(positions, ops.arange(value_length))
            found = ops.expand_dims(found, 0) if len(found.shape) == 3 else found
            bias = found if bias is None else found + ops.cast(hiding_bias(bias), found.dtype)
        found = dot_product_attention(
            self.project_query(query, positions),
            key,
            value,
            bias=bias,
            soft_cap=self.soft_cap,
            sinks=self.attention_sinks if self.sinks else None,
            seed=self.seed_generator,
            probability=self.probability,
            return_weights=return_weights,
            **options,
        )
        context, weights = found if return_weights else (found, None)
        weights = ops.cast(weights, self.compute_dtype) if return_weights else None
        return self.project_output(context), weights

    def _projection(
        self, name: str, heads: Any, dim: Any, input_shape: Shape
    ) -> keras.layers.Layer:
        dense = IntoHeads(
            heads,
            dim,
            **self._weight_options(),
            name=name,
        )
        dense.build(input_shape)
        return dense

    def _weight_options(self) -> dict[str, Any]:
        """The arguments that all projections share."""
        return {
            "use_bias": self.use_bias,
            "kernel_initializer": clone_initializer(self.kernel_initializer),
            "bias_initializer": clone_initializer(self.bias_initializer),
            "kernel_regularizer": self.kernel_regularizer,
            "bias_regularizer": self.bias_regularizer,
            "kernel_constraint": self.kernel_constraint,
            "bias_constraint": self.bias_constraint,
            "dtype": self.dtype_policy,
        }

    def _norm(self, name: str, heads: Any) -> keras.layers.Layer:
        norm = keras.layers.RMSNormalization(dtype=self.dtype_policy, name=name)
        norm.build((None, heads, None, self.key_dim))
        return norm

    def _mask_of_call(
        self,
        value_mask: Tensor,
        attention_mask: Tensor,
        use_causal_mask: bool,
        query_length: Any,
        value_length: Any,
    ) -> Tensor:
        if attention_mask is not None:
            # Another mask of pairs costs nothing more, and what no query sees is known exactly.
            reach = sliding_window_mask(query_length, value_length, use_causal_mask, self.window)
            return combine_masks(value_mask, attention_mask, reach)
        if self.window is not None and value_mask is not None:
            value_mask = ops.logical_and(
                ops.cast(value_mask, "bool"),
                self._in_any_window(query_length, value_length, self.window),
            )
        elif self.window is not None:
            value_mask = self._in_any_window(query_length, value_length, self.window)
        return combine_masks(value_mask)

    def _in_any_window(self, query_length: Any, value_length: Any, window: int) -> Tensor:
        """Mask of the values that the first query, or one after it, reaches: `(1, Tv)`."""
        first = value_length - query_length - (window - 1)
        return ops.expand_dims(ops.arange(value_length) >= first, 0)

    def _mask_for_scores(self, mask: Tensor) -> Tensor:
        return mask if len(mask.shape) == 4 else ops.expand_dims(mask, 1)  # (B, 1, Tq, Tv)

    def _output_shape(self, query_shape: Shape, value_shape: Shape) -> Any:
        return (*query_shape[:-1], self.output_dim or query_shape[-1])

    def _pairs_shape(self, query_length: Any, key: Tensor) -> tuple[Any, Any, Any, Any]:
        batch, _, value_length, _ = ops.shape(key)
        return (batch, self.num_heads, query_length, value_length)

    def _weights_shape(self, query_shape: Shape, value_shape: Shape) -> tuple[Any, Any, Any, Any]:
        return (query_shape[0], self.num_heads, query_shape[1], value_shape[1])
