"""Attention that sees the surroundings of where it looked last."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import Initializer, Shape, StatefulOptions, Tensor
from keras_attention.layers.attention.history_attention import HistoryAttention
from keras_attention.layers.validation import check_positive, clone_initializer


@keras.saving.register_keras_serializable(package="keras_attention")
class LocationSensitiveAttention(HistoryAttention):
    """Content and location: the scores see a convolution of the weights of the query before.

    With F the filters and `f_i = F * alpha_{i-1}`, over an additive scorer:

        e_ij = v . tanh(W q_i + U k_j + V f_ij + b)

    and over any other, `V f_ij + b` joins the projected key as well. With
    `probability="normalized_sigmoid"` it is the paper's smoothing: `sigmoid(e) / sum sigmoid(e)`,
    for long memories in which a softmax would look at a single step. With `cumulative` the
    convolution sees the sum of all weights so far (Shen et al., 2018).

    Masking: see `StatefulAttention`.

    Example:

    ```python
    query, memory = keras.ops.ones((2, 3, 32)), keras.ops.ones((2, 5, 48))
    attention = LocationSensitiveAttention(BahdanauAttention(128), filters=32, kernel_size=31)
    context = attention(query, memory)
    ```

    Args:
        scorer: a layer that scores, see `StatefulAttention`.
        filters: number of filters.
        kernel_size: steps that a filter sees, half of them on each side.
        cumulative: whether to see the sum of all weights before instead of the last ones.
        kernel_initializer: initializer of filters and V.

    Call arguments and returns: see `AttentionBase`.

    Raises:
        ValueError: `scorer` is no layer that scores by the keys; `filters` or `kernel_size` is
            not a positive integer.

    Reference: Chorowski et al., 2015, https://arxiv.org/abs/1506.07503, equations 8 to 10;
    cumulative: Shen et al., 2018, https://arxiv.org/abs/1712.05884, section 2.2.
    """

    def __init__(
        self,
        scorer: Any,
        filters: int = 32,
        kernel_size: int = 31,
        cumulative: bool = False,
        kernel_initializer: Initializer = "glorot_uniform",
        **kwargs: Unpack[StatefulOptions],
    ) -> None:
        super().__init__(scorer, kernel_initializer, **kwargs)
        self.filters = check_positive(filters=filters)
        self.kernel_size = check_positive(kernel_size=kernel_size)
        self.cumulative = cumulative

    def build(self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None) -> None:
        super().build(query_shape, value_shape, key_shape)
        self.convolution = keras.layers.Conv1D(
            self.filters,
            self.kernel_size,
            padding="same",
            use_bias=False,
            kernel_initializer=clone_initializer(self.kernel_initializer),
            dtype=self.dtype_policy,
            name="location",
        )
        self.convolution.build((None, None, 1))
        self.history_dense.build((None, None, self.filters))

    def features(self, history: Tensor) -> Tensor:
        history = ops.expand_dims(ops.cast(history, self.compute_dtype), -1)
        if history.shape[1] == 0:  # a convolution wants one step at least
            return self.convolution(ops.pad(history, [[0, 0], [0, 1], [0, 0]]))[:, :0]
        return self.convolution(history)

    def remember(self, history: Tensor, weights: Tensor) -> Any:
        return history + weights if self.cumulative else weights

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "cumulative": self.cumulative,
        }
