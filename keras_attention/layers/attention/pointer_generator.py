"""A head that says words of its vocabulary or copies words of its source."""

from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from keras_attention._types import Initializer, LayerOptions, Shape, Tensor
from keras_attention.layers.checked_call import CheckedCall
from keras_attention.layers.quantized_parts import QuantizedParts


@keras.saving.register_keras_serializable(package="keras_attention")
class PointerGenerator(CheckedCall, QuantizedParts, keras.layers.Layer):
    """Mixes the vocabulary's distribution with the attention weights over the source's words.

    With features x of a step (context, state and input in the paper):

        p_gen = sigmoid(w . x + b)
        P(word) = p_gen P_vocabulary(word) + (1 - p_gen) sum_{j: source_j = word} weights_j

    A word of the source that the vocabulary does not have gets an id of its own, from V on, in its
    own text: the first such word V, the next V + 1, and so on. Labels use the same ids.

    The result is the logarithm of P: `SequenceCrossentropy` takes it as logits, for the softmax of
    log P is P.

    Masking: a masked step of the source is not copied from; its weight should be 0 anyway. The mask
    of the logits goes on with the result.

    Example:

    ```python
    source = keras.ops.array([[4, 1000, 7, 1001, 1000], [6, 1000, 3, 2, 0]])  # 1000 words are known
    inputs, states = keras.ops.ones((2, 3, 16)), keras.ops.ones((2, 3, 32))
    memory, logits = keras.ops.ones((2, 5, 48)), keras.ops.ones((2, 3, 1000))

    attention = CoverageAttention(BahdanauAttention(64))
    context, weights = attention(states, memory, return_attention_scores=True)
    features = keras.ops.concatenate([context, states, inputs], axis=-1)
    log_probabilities = PointerGenerator(extra_words=50)(logits, weights, source, features)
    ```

    Args:
        extra_words: most words of one source that the vocabulary does not have, N.
        kernel_initializer: initializer of w.

    Call arguments:
        logits: `(B, Tt, V)` over the vocabulary.
        weights: `(B, Tt, Tv)`, the attention weights.
        source: int `(B, Tv)`, the source's words, ids below V + N.
        features: `(B, Tt, D)`, what p_gen is made of.
        source_mask: boolean `(B, Tv)`, True = may be copied.

    Returns:
        `(B, Tt, V + N)`, log-probabilities, float32 at least; about -1e9 for what is impossible.

    Raises:
        ValueError: `extra_words` is negative or no integer.

    Reference: See, Liu and Manning, 2017, https://arxiv.org/abs/1704.04368, equations 8 and 9.
    """

    def __init__(
        self,
        extra_words: int = 0,
        kernel_initializer: Initializer = "glorot_uniform",
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(extra_words, bool) or not isinstance(extra_words, int) or extra_words < 0:
            raise ValueError(
                f"Expected extra_words to be an integer >= 0. Received: extra_words={extra_words!r}"
            )
        self.extra_words = extra_words
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.generate_dense = keras.layers.Dense(
            1, kernel_initializer=self.kernel_initializer, dtype=self.dtype_policy, name="generate"
        )

    def build(
        self, logits_shape: Shape, weights_shape: Shape, source_shape: Shape, features_shape: Shape
    ) -> None:
        self.generate_dense.build(features_shape)

    def call(
        self,
        logits: Tensor,
        weights: Tensor,
        source: Tensor,
        features: Any,
        source_mask: Tensor | None = None,
    ) -> Any:
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        logits, weights = ops.cast(logits, dtype), ops.cast(weights, dtype)
        if source_mask is not None:
            hidden = ops.expand_dims(ops.logical_not(ops.cast(source_mask, "bool")), 1)
            weights = ops.where(hidden, 0.0, weights)
            source = ops.where(hidden[:, 0], 0, source)
        gate = ops.cast(self.generate_dense(features), dtype)
        size = logits.shape[-1] + self.extra_words
        generated = ops.log_softmax(logits, axis=-1) + ops.log_sigmoid(gate)
        extra = [[0, 0], [0, 0], [0, self.extra_words]]
        generated = ops.pad(generated, extra, constant_values=IMPOSSIBLE)
        copied = _by_word(weights, ops.cast(source, "int32"), size)
        possible = copied > 0
        copied = ops.log(ops.where(possible, copied, 1.0)) + ops.log_sigmoid(-gate)
        return ops.logaddexp(generated, ops.where(possible, copied, IMPOSSIBLE))

    def compute_output_shape(
        self, logits_shape: Shape, weights_shape: Shape, source_shape: Shape, features_shape: Shape
    ) -> Shape:
        return (*logits_shape[:-1], logits_shape[-1] + self.extra_words)

    def compute_output_spec(
        self,
        logits: Tensor,
        weights: Tensor,
        source: Tensor,
        features: Any,
        source_mask: Tensor | None = None,
    ) -> Any:
        shape = (*logits.shape[:-1], logits.shape[-1] + self.extra_words)
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        return keras.KerasTensor(shape, dtype=dtype)

    def compute_mask(self, logits: Tensor, previous_mask: Tensor) -> Tensor | None:
        return previous_mask

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "extra_words": self.extra_words,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


IMPOSSIBLE = float(np.float32(-1e9))


def _by_word(weights: Tensor, source: Tensor, size: Any) -> Tensor:
    """Sums of `weights (B, Tt, Tv)` over steps with the same word: `(B, Tt, size)`.

    Each text's words are sums of a segment of their own: nothing as large as Tv times the
    vocabulary is ever built.
    """
    batch, steps, length = ops.shape(weights)
    texts = ops.expand_dims(ops.arange(batch, dtype="int32"), 1)
    segments = ops.reshape(texts * size + source, (-1,))
    rows = ops.reshape(ops.transpose(weights, (0, 2, 1)), (batch * length, steps))
    sums = ops.segment_sum(rows, segments, num_segments=batch * size)
    return ops.transpose(ops.reshape(sums, (batch, size, steps)), (0, 2, 1))
