"""Losses over sequences.

All are averages over the tokens that count, and have what `keras.losses.Loss` promises: a weight 0
where the Keras mask of the prediction is False, `reduction="sum"` and `"none"`, and division by the
number of replicas under `tf.distribute`, where gradients are summed. There, each replica averages
over its own tokens, and the replicas count alike: where they hold different numbers of tokens, a
token in a batch of few counts for more, and the loss is not quite that of the whole batch on one
device (as with `keras.losses` and masks). With `keras.distribution` on JAX a batch is one batch,
and so it is with `reduction="sum"` everywhere.
"""

from typing import Any

import keras
from keras import ops

from keras_attention._token_ids import check_token_ids, spoil
from keras_attention._types import Tensor
from keras_attention.ops.precision import at_least_float32


class _TokenLoss(keras.losses.Loss):
    """Losses of tokens, averaged over those that count; the base of those below.

    A subclass implements `counts(y_true)`, boolean `(B, T)`, and `call(y_true, y_pred)`, the losses
    `(B, T)`. What is predicted where nothing counts may be anything, NaN included: it is replaced
    before anything is computed from it.
    """

    # Whether tokens of weight 0 have a part in the losses of others.
    reads_unweighted = False

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        mask = getattr(y_pred, "_keras_mask", None)
        dtype = at_least_float32(self.dtype)
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.cast(y_pred, dtype)
        counts = self.counts(y_true)
        if mask is not None:
            counts = ops.logical_and(counts, ops.cast(mask, "bool"))
        weights = ops.cast(counts, dtype)
        if sample_weight is not None:
            given = ops.cast(sample_weight, dtype)
            if len(given.shape) < len(weights.shape):
                given = given[..., None]
            weights = ops.where(counts, given, ops.zeros((), dtype))
        read = counts if self.reads_unweighted else weights != 0
        y_pred = ops.where(read[..., None], y_pred, ops.zeros((), dtype))
        losses = ops.where(weights != 0, self.call(y_true, y_pred), ops.zeros((), dtype))
        averages = self.reduction not in ("sum", "none", None)
        reduction = "mean_with_sample_weight" if averages else self.reduction
        return _Reduction(reduction=reduction, dtype=dtype)(losses, losses, weights)

    def counts(self, y_true: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} must define `counts`.")


class _Reduction(keras.losses.Loss):
    """Loss of given losses and weights as Keras reduces it, which knows of replicas."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return y_pred


@keras.saving.register_keras_serializable(package="keras_attention")
class SequenceCrossentropy(_TokenLoss):
    """Cross-entropy of the next token, averaged over all tokens that are no padding.

    With label smoothing e, the label has probability 1 - e and the rest is spread evenly over the
    vocabulary: `(1 - e) H(label, p) + e H(uniform, p)`; tokens that the logits rule out (-inf) get
    nothing of the rest. Over replicas: see `keras_attention.losses`.

    Args:
        label_smoothing: e, 0 <= e < 1.
        pad_id: the label that does not count; negative labels do not, either.

    Call arguments:
        y_true: int `(B, T)`.
        y_pred: logits `(B, T, V)`; where the label does not count they may be anything.
        sample_weight: `(B,)` or `(B, T)`; the average is over the weights.

    Raises:
        ValueError: `label_smoothing` is out of range, or a label is V or more (in a graph of
            TensorFlow an InvalidArgumentError; compiled by XLA or JAX the loss is NaN).

    Reference: label smoothing: Szegedy et al., 2016, https://arxiv.org/abs/1512.00567, section 7.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        pad_id: int = 0,
        name: str = "sequence_crossentropy",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f"Expected 0 <= label_smoothing < 1. Received: label_smoothing={label_smoothing}"
            )
        self.label_smoothing = label_smoothing
        self.pad_id = pad_id

    def counts(self, y_true: Tensor) -> Tensor:
        return _is_token(y_true, self.pad_id)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y_pred = ops.cast(y_pred, at_least_float32(self.dtype))
        counts = _is_token(y_true, self.pad_id)
        labels, outside = check_token_ids(y_true, y_pred.shape[-1], counts, name="y_true")
        log_probabilities = spoil(ops.log_softmax(y_pred, axis=-1), outside)
        last = ops.shape(y_pred)[-1] - 1
        labels = ops.minimum(labels, last)
        losses = -ops.take_along_axis(log_probabilities, labels[..., None], axis=-1)[..., 0]
        if not self.label_smoothing:
            return losses
        possible = ops.logical_not(ops.equal(y_pred, -float("inf")))
        count = ops.sum(ops.cast(possible, y_pred.dtype), axis=-1)
        spread = -ops.sum(ops.where(possible, log_probabilities, 0.0), axis=-1) / count
        return (1 - self.label_smoothing) * losses + self.label_smoothing * spread

    def get_config(self) -> dict[str, Any]:
        config = {"label_smoothing": self.label_smoothing, "pad_id": self.pad_id}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="keras_attention")
class CoverageLoss(_TokenLoss):
    """Coverage loss: `sum_j min(a_tj, c_tj)`, c the sum of all weights before t.

    Averaged over all tokens that are no padding. For an output of attention weights beside that
    of logits; the labels are the same. Over replicas: see `keras_attention.losses`.

    Args:
        pad_id: the label that does not count, and negative labels do not, either; their weights
            do not cover anything.

    Call arguments:
        y_true: int `(B, Tt)`.
        y_pred: attention weights `(B, Tt, Tv)`.
        sample_weight: `(B,)` or `(B, Tt)`; the average is over the weights.

    Reference: See, Liu and Manning, 2017, https://arxiv.org/abs/1704.04368, equation 12.
    """

    reads_unweighted = True

    def __init__(self, pad_id: int = 0, name: str = "coverage_loss", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.pad_id = pad_id

    def counts(self, y_true: Tensor) -> Tensor:
        return _is_token(y_true, self.pad_id)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        weights = ops.cast(y_pred, at_least_float32(self.dtype))
        weights = ops.where(self.counts(y_true)[..., None], weights, 0.0)
        covered = ops.cumsum(weights, axis=1) - weights
        return ops.sum(ops.minimum(weights, covered), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pad_id": self.pad_id}


@keras.saving.register_keras_serializable(package="keras_attention")
class GuidedAlignmentLoss(_TokenLoss):
    """Teaches attention to look where an aligner says: cross-entropy of given and own weights.

    `-sum_j y_tj log(a_tj)`, or `sum_j (y_tj - a_tj)^2` with `kind="mse"`, averaged over the tokens
    that are aligned to anything. Over replicas: see `keras_attention.losses`.

    Args:
        kind: `"crossentropy"` or `"mse"`.

    Call arguments:
        y_true: `(B, Tt, Tv)`, rows that sum to 1; rows of zeros (padding, unaligned tokens) do
            not count.
        y_pred: attention weights `(B, Tt, Tv)`.
        sample_weight: `(B,)` or `(B, Tt)`; the average is over the weights.

    Reference: Chen et al., 2016, https://arxiv.org/abs/1607.01628, section 3.
    """

    def __init__(
        self, kind: str = "crossentropy", name: str = "guided_alignment_loss", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        if kind not in ("crossentropy", "mse"):
            raise ValueError(f"Expected kind 'crossentropy' or 'mse'. Received: kind={kind!r}")
        self.kind = kind

    def counts(self, y_true: Tensor) -> Tensor:
        return ops.any(y_true > 0, axis=-1)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        dtype = at_least_float32(self.dtype)
        given, found = ops.cast(y_true, dtype), ops.cast(y_pred, dtype)
        if self.kind == "mse":
            return ops.sum(ops.square(given - found), axis=-1)
        found = ops.where(given > 0, found, 1.0)
        # A weight of exactly 0 has no logarithm; float16's smallest stands for it.
        return -ops.sum(given * ops.log(ops.maximum(found, 6e-8)), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind}


def _is_token(labels: Tensor, pad_id: int) -> Tensor:
    """Mask of the labels that count: those that are neither padding nor negative."""
    labels = ops.cast(labels, "int32")
    return ops.logical_and(labels != pad_id, labels >= 0)
