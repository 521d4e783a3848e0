"""Additive attention."""

from typing import Any, Unpack

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
from keras_attention.layers.validation import check_positive, clone_initializer
from keras_attention.ops import additive_scores
from keras_attention.ops.additive.precomputed_key import precompute_key
from keras_attention.ops.matrix import by_rows
from keras_attention.ops.precision import at_least_float32


@keras.saving.register_keras_serializable(package="keras_attention")
class BahdanauAttention(AttentionBase):
    """Additive attention: `score(q, k) = v . tanh(W q + U k)`.

    With `normalize=True` the vector is weight-normalised and a bias joins:
    `score(q, k) = g v / |v| . tanh(W q + U k + b)`, with g starting at `sqrt(1 / units)` and b at 0
    (Salimans and Kingma, 2016; `normalize` of TensorFlow Addons).

    `U k` depends on the memory alone: a decoder calls `project_key(memory)` once per sequence and
    `attend` at each step.

    Compared with `keras.layers.AdditiveAttention`: that one has no W and no U, only v, so query
    and key must have one size and the caller must project them.

    Masking: see `AttentionBase`.

    Example:

    ```python
    query, memory = keras.ops.ones((2, 3, 32)), keras.ops.ones((2, 5, 48))
    attention = BahdanauAttention(units=64)
    context, weights = attention(query, memory, return_attention_scores=True)
    ```

    Args:
        units: size U of the space in which query and key are compared.
        normalize: whether to use the weight-normalised form.
        dropout: fraction of the weights dropped in training.
        kernel_initializer: initializer of W, U and v.
        seed: integer that makes the dropout repeatable, or None.
        kernel_regularizer: regularizer of each of W, U and v.
        kernel_constraint: constraint on each of W, U and v.

    Call arguments and returns: see `AttentionBase`.

    Raises:
        ValueError: `units` is not a positive integer; an input is not of rank 3.

    Reference: Bahdanau, Cho and Bengio, 2015, https://arxiv.org/abs/1409.0473, section A.1.2.
    """

    def __init__(
        self,
        units: int,
        normalize: bool = False,
        dropout: float = 0.0,
        kernel_initializer: Initializer = "glorot_uniform",
        seed: int | None = None,
        kernel_regularizer: Regularizer | None = None,
        kernel_constraint: Constraint | None = None,
        **kwargs: Unpack[AttentionOptions],
    ) -> None:
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        self.units = check_positive(units=units)
        self.normalize = normalize
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.query_dense = self._projection("query")
        self.key_dense = self._projection("key")

    def build(self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None) -> None:
        self._check_shapes(query_shape, value_shape, key_shape or value_shape)
        self.query_dense.build(query_shape)
        self.key_dense.build(key_shape or value_shape)
        self.attention_v = self.add_weight(
            name="attention_v",
            shape=(self.units,),
            initializer=clone_initializer(self.kernel_initializer),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        if self.normalize:
            self.attention_g = self.add_weight(
                name="attention_g",
                shape=(),
                initializer=keras.initializers.Constant((1 / self.units) ** 0.5),
            )
            self.attention_b = self.add_weight(
                name="attention_b", shape=(self.units,), initializer="zeros"
            )

    def project_query(self, query: Tensor) -> Tensor:
        projected = by_rows(self.query_dense, query)
        if not self.normalize:
            return projected
        return projected + ops.cast(self.attention_b, projected.dtype)

    def project_key(self, key: Tensor) -> Tensor:
        return self.key_dense(key)

    def precompute_key(self, key: Tensor) -> Any:
        return precompute_key(key)

    def compute_scores(self, query: Tensor, key: Tensor) -> Tensor:
        return additive_scores(query, key, self.vector())

    def vector(self) -> Tensor:
        """Factor of the hidden layer of the score: v, or `g v / |v|`."""
        vector = self.attention_v
        if not self.normalize:
            return vector
        # The norm in float32 at least: a float16 square underflows below 2.4e-4.
        dtype = at_least_float32(vector.dtype)
        vector = ops.cast(vector, dtype)
        return ops.cast(self.attention_g, dtype) * vector / ops.norm(vector)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "normalize": self.normalize,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
        }

    def _projection(self, name: str) -> keras.layers.Layer:
        return keras.layers.Dense(
            self.units,
            use_bias=False,
            kernel_initializer=clone_initializer(self.kernel_initializer),
            kernel_regularizer=self.kernel_regularizer,
            kernel_constraint=self.kernel_constraint,
            dtype=self.dtype_policy,
            name=name,
        )
