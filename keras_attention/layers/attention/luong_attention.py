"""Multiplicative attention."""

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
from keras_attention.layers.validation import check_positive, clone_initializer, in_compute_dtype
from keras_attention.ops import additive_scores, dot_scores
from keras_attention.ops.matrix import by_rows
from keras_attention.ops.precision import at_least_float32

SCORES = ("dot", "general", "concat", "location")


@keras.saving.register_keras_serializable(package="keras_attention")
class LuongAttention(AttentionBase):
    """Global attention with the scores of Luong et al.

    - `"dot"`: `q . k`, no weights;
    - `"general"`: `q . W k`;
    - `"concat"`: `v . tanh(W [q; k])`, with a full W, `units` wide;
    - `"location"`: row s of `W q`, whatever the keys are, for at most `max_length` positions.

    Compared with `keras.layers.Attention`: that one has the dot score; its `"concat"` is
    `w sum(tanh(q + k))`, which has neither W nor v. TensorFlow Addons' `LuongAttention(units)` is
    `"general"` here, its W sized from the query; `scale` is the same.

    Masking: see `AttentionBase`.

    Example:

    ```python
    decoder_states, memory = keras.ops.ones((2, 3, 32)), keras.ops.ones((2, 5, 48))
    attention = LuongAttention("general")
    context = attention(decoder_states, memory)
    ```

    Args:
        score: `"dot"`, `"general"`, `"concat"` or `"location"`.
        units: size of the inner space of the concat score; for that score alone.
        max_length: longest memory of the location score; for that score alone.
        scale: whether to multiply the scores by a learned scalar, 1 at first.
        dropout: fraction of the weights dropped in training.
        kernel_initializer: initializer of W and v.
        seed: integer that makes the dropout repeatable, or None.
        kernel_regularizer: regularizer of each of W and v.
        kernel_constraint: constraint on each of W and v.

    Call arguments and returns: see `AttentionBase`.

    Raises:
        ValueError: unknown `score`; `units` or `max_length` missing, not positive, or given where
            the score has no use for it; query and key of different size with the dot score;
            a memory longer than `max_length`.

    Reference: Luong, Pham and Manning, 2015, https://arxiv.org/abs/1508.04025, equations 7 and 8.
    """

    def __init__(
        self,
        score: str = "dot",
        units: int | None = None,
        max_length: int | None = None,
        scale: bool = False,
        dropout: float = 0.0,
        kernel_initializer: Initializer = "glorot_uniform",
        seed: int | None = None,
        kernel_regularizer: Regularizer | None = None,
        kernel_constraint: Constraint | None = None,
        **kwargs: Unpack[AttentionOptions],
    ) -> None:
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        if score not in SCORES:
            raise ValueError(f"Expected score to be one of {SCORES}. Received: score={score!r}")
        self.score = score
        self.units = self._size_for("concat", units=units)
        self.max_length = self._size_for("location", max_length=max_length)
        self.scale = scale
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)

    @property
    def scores_keys(self) -> bool:
        return self.score != "location"

    def build(self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None) -> None:
        key_shape = key_shape or value_shape
        self._check_shapes(query_shape, value_shape, key_shape)
        query_dim, key_dim = query_shape[-1], key_shape[-1]
        self._query_dim = query_dim
        if self.score == "general":
            self.kernel = self._add_kernel("kernel", (key_dim, query_dim))
        elif self.score == "concat":
            self.kernel = self._add_kernel("kernel", (query_dim + key_dim, self.units))
            self.attention_v = self._add_kernel("attention_v", (self.units,))
        elif self.score == "location":
            self.kernel = self._add_kernel("kernel", (query_dim, self.max_length))
        if self.scale:
            self.attention_g = self.add_weight(name="attention_g", shape=(), initializer="ones")

    def project_query(self, query: Tensor) -> Tensor:
        if self.score not in ("concat", "location"):
            return query
        query = in_compute_dtype(self, query)
        if self.score == "location":  # these are the scores: float32 at least
            query = ops.cast(query, at_least_float32(query.dtype))
        kernel = ops.cast(self.kernel, query.dtype)
        if self.score == "concat":  # W [q; k] = W_q q + W_k k: no [q; k] is ever built
            kernel = kernel[: self._query_dim]
        return by_rows(lambda rows: ops.matmul(rows, kernel), query)

    def project_key(self, key: Tensor) -> Tensor:
        key = in_compute_dtype(self, key)
        if self.score == "general":
            return ops.matmul(key, ops.cast(self.kernel, key.dtype))
        if self.score == "concat":
            return ops.matmul(key, ops.cast(self.kernel, key.dtype)[self._query_dim :])
        return key

    def compute_scores(self, query: Tensor, key: Tensor) -> Tensor:
        if self.score == "concat":
            scores = additive_scores(query, key, self.attention_v)
        elif self.score == "location":
            scores = query[:, :, : ops.shape(key)[1]]
        else:
            scores = dot_scores(query, key)
        return scores * ops.cast(self.attention_g, scores.dtype) if self.scale else scores

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "score": self.score,
            "units": self.units,
            "max_length": self.max_length,
            "scale": self.scale,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
        }

    def _size_for(self, score: str, **named: Any) -> Any:
        """The named size, which this `score` needs and no other takes."""
        ((name, value),) = named.items()
        if self.score == score:
            return check_positive(**named)
        if value is not None:
            raise ValueError(
                f"Expected {name} only with score={score!r}. "
                f"Received: score={self.score!r}, {name}={value!r}"
            )
        return None

    def _add_kernel(self, name: str, shape: Shape) -> Any:
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=clone_initializer(self.kernel_initializer),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )

    def _check_shapes(self, query_shape: Shape, value_shape: Shape, key_shape: Shape) -> None:
        super()._check_shapes(query_shape, value_shape, key_shape)
        if self.score == "dot" and query_shape[-1] != key_shape[-1]:
            raise ValueError(
                "Expected query and key of one size with score='dot'. "
                f"Received: query.shape={tuple(query_shape)}, key.shape={tuple(key_shape)}"
            )
        length = value_shape[1]
        if self.score == "location" and length is not None and length > self.max_length:
            raise ValueError(
                f"Expected a memory of at most max_length={self.max_length} steps. "
                f"Received: value.shape={tuple(value_shape)}"
            )
