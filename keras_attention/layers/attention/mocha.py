"""Monotonic attention to chunks."""

from typing import Any, Self, Unpack

import keras
from keras import ops

from keras_attention._types import Shape, StatefulOptions, Tensor
from keras_attention.layers.attention.monotonic_attention import MonotonicAttention
from keras_attention.layers.attention.stateful_attention import build_scorer, check_scorer
from keras_attention.layers.validation import check_positive
from keras_attention.ops import chunkwise


@keras.saving.register_keras_serializable(package="keras_attention")
class MoChA(MonotonicAttention):
    """Monotonic chunkwise attention: a softmax over the few steps up to where a reader stops.

    With alpha the alignment of `MonotonicAttention` and u the scores of a second scorer:

        beta_ij = sum_{k=j}^{j+w-1} alpha_ik exp(u_ij) / sum_{l=k-w+1}^{k} exp(u_il)

    Masking: see `StatefulAttention`. A masked step is left out of its chunk.

    Example:

    ```python
    query, memory = keras.ops.ones((2, 3, 32)), keras.ops.ones((2, 5, 48))
    attention = MoChA(BahdanauAttention(64), chunk_size=4, score_bias=-4.0)
    context = attention(query, memory)
    ```

    Args:
        scorer: a layer that scores where to stop, see `StatefulAttention`.
        chunk_size: w, steps in a chunk.
        chunk_scorer: a layer that scores inside chunks; one like `scorer`, with weights of its
            own, by default.
        noise: see `MonotonicAttention`.
        score_bias: see `MonotonicAttention`.
        hard_inference: see `MonotonicAttention`.

    Call arguments and returns: see `AttentionBase`.

    Raises:
        ValueError: see `MonotonicAttention`; `chunk_size` is not a positive integer;
            `chunk_scorer` is the `scorer` itself.

    Reference: Chiu and Raffel, 2018, https://arxiv.org/abs/1712.05382, section 2.3.
    """

    def __init__(
        self,
        scorer: Any,
        chunk_size: int = 2,
        chunk_scorer: Any = None,
        noise: float = 0.0,
        score_bias: float = 0.0,
        hard_inference: bool = True,
        **kwargs: Unpack[StatefulOptions],
    ) -> None:
        super().__init__(scorer, noise, score_bias, hard_inference, **kwargs)
        self.chunk_size = check_positive(chunk_size=chunk_size)
        if chunk_scorer is None:
            # Named apart, for the files that weights are saved in.
            config = {**self.scorer.get_config(), "name": f"{self.scorer.name}_chunk"}
            chunk_scorer = type(self.scorer).from_config(config)
        self.chunk_scorer = check_scorer(chunk_scorer=chunk_scorer)
        if self.chunk_scorer is self.scorer:
            raise ValueError(
                "Expected a chunk_scorer with weights of its own. "
                "Received: one layer for scorer and chunk_scorer"
            )

    def build(self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None) -> None:
        super().build(query_shape, value_shape, key_shape)
        build_scorer(self.chunk_scorer, query_shape, value_shape, key_shape)
        one_key = ops.zeros((1, 1, (key_shape or value_shape)[-1]), dtype=self.compute_dtype)
        self._key_dim = self.scorer.project_key(one_key).shape[-1]

    def project_key(self, key: Tensor) -> Tensor:
        """The keys of both scorers beside each other."""
        keys = [self.scorer.project_key(key), self.chunk_scorer.project_key(key)]
        return ops.concatenate(keys, axis=-1)

    def weigh(
        self,
        query: Tensor,
        key: Tensor,
        mask: Tensor,
        state: Any,
        noise: Tensor | None = None,
        training: bool | None = None,
    ) -> tuple[Any, Any]:
        alignment, state = super().weigh(
            query, key[..., : self._key_dim], mask, state, noise, training
        )
        projected = self.chunk_scorer.project_query(query)
        scores = self.chunk_scorer.compute_scores(projected, key[..., self._key_dim :])
        return chunkwise(alignment, scores, mask, self.chunk_size), state

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "chunk_size": self.chunk_size,
            "chunk_scorer": keras.saving.serialize_keras_object(self.chunk_scorer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        chunk_scorer = keras.saving.deserialize_keras_object(config["chunk_scorer"])
        return super().from_config({**config, "chunk_scorer": chunk_scorer})
