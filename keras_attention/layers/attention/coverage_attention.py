"""Attention that knows what it has covered."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import Initializer, Shape, StatefulOptions, Tensor
from keras_attention.layers.attention.history_attention import HistoryAttention


@keras.saving.register_keras_serializable(package="keras_attention")
class CoverageAttention(HistoryAttention):
    """The scores see the coverage: the sum of the weights of all queries before.

    With `c_i = sum_{i' < i} alpha_{i'}`, over an additive scorer:

        e_ij = v . tanh(W q_i + U k_j + w c_ij + b)

    and over any other, `w c_ij + b` joins the projected key as well. `CoverageLoss` on the weights
    teaches it not to come back to what is covered.

    Masking: see `StatefulAttention`.

    Example:

    ```python
    query, memory = keras.ops.ones((2, 3, 32)), keras.ops.ones((2, 5, 48))
    attention = CoverageAttention(BahdanauAttention(256))
    context, weights = attention(query, memory, return_attention_scores=True)
    ```

    Args:
        scorer: a layer that scores, see `StatefulAttention`.
        kernel_initializer: initializer of w.

    Call arguments and returns: see `AttentionBase`.

    Raises:
        ValueError: `scorer` is no layer that scores by the keys.

    Reference: See, Liu and Manning, 2017, https://arxiv.org/abs/1704.04368, equations 10 and 11.
    """

    def __init__(
        self,
        scorer: Any,
        kernel_initializer: Initializer = "glorot_uniform",
        **kwargs: Unpack[StatefulOptions],
    ) -> None:
        super().__init__(scorer, kernel_initializer, **kwargs)

    def build(self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None) -> None:
        super().build(query_shape, value_shape, key_shape)
        self.history_dense.build((None, None, 1))

    def features(self, history: Tensor) -> Tensor:
        return ops.expand_dims(ops.cast(history, self.compute_dtype), -1)

    def remember(self, history: Tensor, weights: Tensor) -> Any:
        return history + weights
