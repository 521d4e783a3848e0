"""Attention that moves forward only."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._types import Shape, StatefulOptions, Tensor
from keras_attention.layers.attention.stateful_attention import StatefulAttention
from keras_attention.layers.unroll import unroll
from keras_attention.ops import expected_alignment, hard_alignment
from keras_attention.ops.monotonic import NEVER, first_step
from keras_attention.ops.precision import at_least_float32


@keras.saving.register_keras_serializable(package="keras_attention")
class MonotonicAttention(StatefulAttention):
    """Attends to one step of the memory, at or after the one before: for speech, or online.

    From where the last query stopped, each step of the memory is looked at in turn; the first one
    with `sigmoid(score) > 0.5` is attended to. In training the weights are where a reader would
    stop in expectation, who stops at step j with probability `p_j = sigmoid(score_j + noise)`:

        alpha_ij = p_ij sum_{k <= j} alpha_{i-1,k} prod_{k <= l < j} (1 - p_il)

    computed without a division or a clipped product, so that no mass is lost in a memory of
    thousands of steps. A reader who has run past the end attends to nothing from then on: a row
    sums to 1 at most, and a loss in training shows where it sums to less. A negative `score_bias`
    keeps readers from stopping too early at first, the more so the longer the memory.

    Masking: see `StatefulAttention`. Nobody stops at a masked step.

    Example:

    ```python
    query, memory = keras.ops.ones((2, 3, 32)), keras.ops.ones((2, 5, 48))
    attention = MonotonicAttention(BahdanauAttention(64, normalize=True), noise=1.0, score_bias=-4)
    context, weights = attention(query, memory, return_attention_scores=True, training=True)
    ```

    Args:
        scorer: a layer that scores, see `StatefulAttention`.
        noise: standard deviation of what the scores get in training, so that they learn to be far
            from 0; never at inference.
        score_bias: first value of a scalar weight that is added to the scores.
        hard_inference: whether to stop at steps at inference; False for expectations there too.

    Call arguments and returns: see `AttentionBase`.

    Raises:
        ValueError: `scorer` is no layer that scores; `noise` is negative; a `probability` is given.

    Reference: Raffel et al., 2017, https://arxiv.org/abs/1704.00784, equations 8 to 14.
    """

    def __init__(
        self,
        scorer: Any,
        noise: float = 0.0,
        score_bias: float = 0.0,
        hard_inference: bool = True,
        **kwargs: Unpack[StatefulOptions],
    ) -> None:
        super().__init__(scorer, **kwargs)
        if not noise >= 0:
            raise ValueError(f"Expected noise >= 0. Received: noise={noise}")
        if self.probability != "softmax":
            raise ValueError(
                "Expected the default probability: monotonic attention computes its own. "
                f"Received: probability={self.probability!r}"
            )
        self.noise = noise
        self.score_bias = score_bias
        self.hard_inference = hard_inference

    def build(self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None) -> None:
        super().build(query_shape, value_shape, key_shape)
        self.attention_score_bias = self.add_weight(
            name="attention_score_bias",
            shape=(),
            initializer=keras.initializers.Constant(self.score_bias),
        )

    def initial_state(self, memory: tuple[Tensor, ...]) -> Any:
        """The alignment `(B, Tv)` before the first query: at the first step."""
        key = memory[0]
        batch, length = ops.shape(key)[:2]
        return [first_step(batch, length, at_least_float32(key.dtype))]

    def sample_noise(self, query_length: Any, key: Tensor) -> Any:
        if self.noise == 0:
            return None
        batch, value_length, _ = ops.shape(key)
        shape = (batch, query_length, value_length)
        return keras.random.normal(
            shape, stddev=self.noise, dtype="float32", seed=self.seed_generator
        )

    def weigh(
        self,
        query: Tensor,
        key: Tensor,
        mask: Tensor,
        state: Any,
        noise: Tensor | None = None,
        training: bool | None = None,
    ) -> Any:
        scores = self.compute_scores(self.project_query(query), key)
        scores = scores + ops.cast(self.attention_score_bias, scores.dtype)
        if noise is not None:
            scores = scores + ops.cast(noise, scores.dtype)
        # Not below what stands for "masked", or the step would count as one nobody may look at.
        scores = ops.maximum(scores, NEVER)
        if mask is not None:
            scores = ops.where(mask, scores, 2 * NEVER)
        align = hard_alignment if self.hard_inference and not training else expected_alignment

        def advance(scores: Tensor, state: Any) -> tuple[Any, Any]:
            (previous,) = state
            alignment = align(scores, previous)
            looks = ops.any(scores > 1.5 * NEVER, axis=-1, keepdims=True)
            return alignment, [ops.where(looks, alignment, previous)]

        return unroll(advance, scores, state)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "noise": self.noise,
            "score_bias": self.score_bias,
            "hard_inference": self.hard_inference,
        }
