"""Base class of the blocks of a Transformer: residuals, norms, feed-forward."""

from typing import Any, Self, Unpack

import keras
from keras import ops

from keras_attention._types import Activation, Initializer, LayerOptions, Shape, Tensor
from keras_attention.layers.carry_mask import CarryMask
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.multi_head.multi_head_cross_attention import MultiHeadCrossAttention
from keras_attention.layers.multi_head.multi_head_self_attention import MultiHeadSelfAttention
from keras_attention.layers.quantized_parts import QuantizedParts
from keras_attention.layers.validation import check_positive, clone_initializer
from keras_attention.ops import zero_masked
from keras_attention.ops.matrix import by_rows

NORMS = ("pre", "post")


class TransformerBlockBase(CheckedCall, QuantizedParts, keras.layers.Layer):
    """Parts of a block, each within a residual: `x + f(norm(x))` or `norm(x + f(x))`.

    A subclass makes its parts with `_make_...` in its constructor and builds them.
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
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.num_heads = check_positive(num_heads=num_heads)
        self.key_dim = check_positive(key_dim=key_dim)
        self.feedforward_dim = check_positive(feedforward_dim=feedforward_dim)
        if norm not in NORMS:
            raise ValueError(f"Expected norm to be one of {NORMS}. Received: norm={norm!r}")
        if not 0 <= dropout < 1:
            raise ValueError(f"Expected 0 <= dropout < 1. Received: dropout={dropout}")
        self.norm = norm
        self.activation = keras.activations.get(activation)
        self.dropout = dropout
        self.norm_epsilon = norm_epsilon
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.attention_options = dict(attention_options or {})
        self.seed = seed
        self.residual_dropout = keras.layers.Dropout(
            dropout, seed=seed, dtype=self.dtype_policy, name="residual_dropout"
        )
        self.carry_mask = CarryMask(dtype=self.dtype_policy, name="carry_mask")
        self.self_attention = self._make_attention(
            MultiHeadSelfAttention, "self_attention", self.attention_options
        )
        self.self_attention_norm = self._make_norm("self_attention_norm")
        self.expand = self._make_dense(feedforward_dim, "expand")
        self.feedforward_norm = self._make_norm("feedforward_norm")

    def build_feedforward(self, inputs_shape: Shape) -> None:
        """Builds what every block has, for a sequence of this shape."""
        width = inputs_shape[-1]
        self.self_attention.build(inputs_shape)
        self.self_attention.built = True
        self.self_attention_norm.build(inputs_shape)
        self.expand.build((None, width))
        # As wide as the sequence, which is known only now.
        self.contract = self._make_dense(width, "contract")
        self.contract.build((None, self.feedforward_dim))
        self.feedforward_norm.build(inputs_shape)

    def residual(self, x: Tensor, function: Any, norm: Any, training: bool | None) -> Any:
        """`x` and what `function` makes of it; what else the function returns comes along."""
        found = function(norm(x) if self.norm == "pre" else x)
        change, *others = found if isinstance(found, tuple) else (found,)
        x = x + self.residual_dropout(change, training=training)
        return (x if self.norm == "pre" else norm(x)), *others

    def feedforward(self, x: Tensor, training: bool | None) -> Tensor:
        """`W_2 f(W_1 x + b_1) + b_2` at each step, within its residual."""

        def function(x: Tensor) -> Tensor:
            hidden = self.activation(by_rows(self.expand, x))
            return by_rows(self.contract, self.residual_dropout(hidden, training=training))

        (x,) = self.residual(x, function, self.feedforward_norm, training)
        return x

    def with_mask(self, x: Tensor, mask: Tensor) -> Any:
        """The output with zeros at padding, and its mask attached."""
        return x if mask is None else self.carry_mask(zero_masked(x, mask), mask=mask)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> Tensor | None:
        return previous_mask

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "feedforward_dim": self.feedforward_dim,
            "norm": self.norm,
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
            "norm_epsilon": self.norm_epsilon,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "attention_options": keras.saving.serialize_keras_object(self.attention_options),
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        options = {
            name: keras.saving.deserialize_keras_object(value)
            for name, value in config.items()
            if name.endswith("attention_options")
        }
        return cls(**{**config, **options})

    def _make_attention(
        self, attention_class: type[Any], name: str, options: dict[str, Any]
    ) -> keras.layers.Layer:
        given = {
            "dropout": self.dropout,
            "seed": self.seed,
            "kernel_initializer": clone_initializer(self.kernel_initializer),
            **options,
        }
        return attention_class(
            self.num_heads, self.key_dim, **given, dtype=self.dtype_policy, name=name
        )

    def _make_cross_attention(self, name: str, options: dict[str, Any]) -> keras.layers.Layer:
        return self._make_attention(MultiHeadCrossAttention, name, options)

    def _make_norm(self, name: str) -> keras.layers.Layer:
        return keras.layers.LayerNormalization(
            epsilon=self.norm_epsilon, dtype=self.dtype_policy, name=name
        )

    def _make_dense(self, units: int, name: str) -> keras.layers.Layer:
        return keras.layers.Dense(
            units,
            kernel_initializer=clone_initializer(self.kernel_initializer),
            dtype=self.dtype_policy,
            name=name,
        )


def merged(*masks: Any) -> Any:
    """All the given padding masks `(B, T)` as one, or None."""
    given = [ops.cast(mask, "bool") for mask in masks if mask is not None]
    if not given:
        return None
    return given[0] if len(given) == 1 else ops.logical_and(*given)
