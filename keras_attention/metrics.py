"""Metrics over sequences."""

from typing import Any

import keras
from keras import ops

from keras_attention._types import Tensor


@keras.saving.register_keras_serializable(package="keras_attention")
class TokenAccuracy(keras.metrics.Mean):
    """Share of the tokens, padding apart, whose likeliest prediction is right.

    Under teacher forcing: each prediction sees the right tokens before it.

    Args:
        pad_id: the label that does not count; negative labels do not, either.

    Call arguments: as for `SequenceCrossentropy`; `sample_weight` `(B,)` or `(B, T)`.
    """

    def __init__(self, pad_id: int = 0, name: str = "token_accuracy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.pad_id = pad_id

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        right, is_token = _compare(y_true, y_pred, self.pad_id)
        counts = ops.cast(is_token, "float32")
        if sample_weight is not None:
            weight = ops.cast(sample_weight, "float32")
            weight = weight if len(weight.shape) == 2 else weight[:, None]
            counts = ops.where(is_token, weight, 0.0)
        super().update_state(right, counts)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pad_id": self.pad_id}


@keras.saving.register_keras_serializable(package="keras_attention")
class SequenceAccuracy(keras.metrics.Mean):
    """Share of the sequences in which every token is predicted right.

    Under teacher forcing this is exact match: a sequence all of whose tokens are right given the
    right tokens before them is what greedy decoding finds. A sequence of padding alone is none.

    Args:
        pad_id: the label that does not count; negative labels do not, either.

    Call arguments: as for `SequenceCrossentropy`; `sample_weight` `(B,)`.
    """

    def __init__(self, pad_id: int = 0, name: str = "exact_match", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.pad_id = pad_id

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        right, is_token = _compare(y_true, y_pred, self.pad_id)
        counts = ops.cast(ops.any(is_token, axis=-1), "float32")
        if sample_weight is not None:
            if len(sample_weight.shape) != 1:
                raise ValueError(
                    "Expected one weight for each sequence, sample_weight (B,). "
                    f"Received: sample_weight.shape={tuple(sample_weight.shape)}"
                )
            counts = counts * ops.cast(sample_weight, "float32")
        right = ops.logical_or(right, ops.logical_not(is_token))
        super().update_state(ops.all(right, axis=-1), counts)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pad_id": self.pad_id}


def _compare(y_true: Tensor, y_pred: Tensor, pad_id: int) -> tuple[Tensor, Tensor]:
    """Two masks: the likeliest prediction is the label, and the label counts."""
    labels = ops.cast(y_true, "int32")
    right = ops.equal(labels, ops.cast(ops.argmax(y_pred, axis=-1), "int32"))
    # What is the highest among NaNs differs by backend; it is no prediction.
    right = ops.logical_and(right, ops.logical_not(ops.any(ops.isnan(y_pred), axis=-1)))
    return right, ops.logical_and(labels != pad_id, labels >= 0)
