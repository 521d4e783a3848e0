"""Losses over sequences."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_attention")
class SequenceCrossentropy(keras.losses.Loss):
    """Cross-entropy of the next token, averaged over all tokens that are no padding.

    With label smoothing e, the label has probability 1 - e and the rest is spread evenly over the
    vocabulary: `(1 - e) H(label, p) + e H(uniform, p)`.

    Args:
        label_smoothing: e, 0 <= e < 1.
        pad_id: the label that does not count.

    Call arguments:
        y_true: int `(B, T)`.
        y_pred: logits `(B, T, V)`.
        sample_weight: `(B,)` or `(B, T)`; the average is over the weights.

    Reference: label smoothing: Szegedy et al., 2016, https://arxiv.org/abs/1512.00567, section 7.
    """

    def __init__(self, label_smoothing=0.0, pad_id=0, name="sequence_crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f"Expected 0 <= label_smoothing < 1. Received: label_smoothing={label_smoothing}"
            )
        self.label_smoothing = label_smoothing
        self.pad_id = pad_id

    def __call__(self, y_true, y_pred, sample_weight=None):
        labels = ops.cast(y_true, "int32")
        counts = _weighted(ops.cast(labels != self.pad_id, "float32"), sample_weight)
        return _reduced(self.call(labels, y_pred), counts, self.reduction)

    def call(self, y_true, y_pred):
        log_probabilities = ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1)
        gains = ops.take_along_axis(log_probabilities, y_true[..., None], axis=-1)[..., 0]
        smoothed = ops.mean(log_probabilities, axis=-1)
        return -(1 - self.label_smoothing) * gains - self.label_smoothing * smoothed

    def get_config(self):
        config = {"label_smoothing": self.label_smoothing, "pad_id": self.pad_id}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="keras_attention")
class CoverageLoss(keras.losses.Loss):
    """What attention reads again: `sum_j min(a_tj, c_tj)`, c the sum of all weights before t.

    Averaged over all tokens that are no padding. For an output of attention weights beside that
    of logits; the labels are the same.

    Args:
        pad_id: the label that does not count; its weights do not cover anything either.

    Call arguments:
        y_true: int `(B, Tt)`.
        y_pred: attention weights `(B, Tt, Tv)`.

    Reference: See, Liu and Manning, 2017, https://arxiv.org/abs/1704.04368, equation 12.
    """

    def __init__(self, pad_id=0, name="coverage_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.pad_id = pad_id

    def __call__(self, y_true, y_pred, sample_weight=None):
        counts = ops.cast(ops.cast(y_true, "int32") != self.pad_id, "float32")
        weights = ops.cast(y_pred, "float32") * counts[..., None]
        covered = ops.cumsum(weights, axis=1) - weights
        again = ops.sum(ops.minimum(weights, covered), axis=-1)
        return _reduced(again, _weighted(counts, sample_weight), self.reduction)

    def get_config(self):
        return {**super().get_config(), "pad_id": self.pad_id}


@keras.saving.register_keras_serializable(package="keras_attention")
class GuidedAlignmentLoss(keras.losses.Loss):
    """Teaches attention to look where an aligner says: cross-entropy of given and own weights.

    `-sum_j y_tj log(a_tj)`, or `sum_j (y_tj - a_tj)^2` with `kind="mse"`, averaged over the tokens
    that are aligned to anything.

    Args:
        kind: `"crossentropy"` or `"mse"`.

    Call arguments:
        y_true: `(B, Tt, Tv)`, rows that sum to 1; rows of zeros (padding, unaligned tokens) do
            not count.
        y_pred: attention weights `(B, Tt, Tv)`.

    Reference: Chen et al., 2016, https://arxiv.org/abs/1607.01628, section 3.
    """

    def __init__(self, kind="crossentropy", name="guided_alignment_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        if kind not in ("crossentropy", "mse"):
            raise ValueError(f"Expected kind 'crossentropy' or 'mse'. Received: kind={kind!r}")
        self.kind = kind

    def __call__(self, y_true, y_pred, sample_weight=None):
        given, found = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        counts = ops.cast(ops.any(given > 0, axis=-1), "float32")
        if self.kind == "mse":
            losses = ops.sum(ops.square(given - found), axis=-1)
        else:
            # A weight of exactly 0 has no logarithm; float16's smallest stands for it.
            losses = -ops.sum(given * ops.log(ops.maximum(found, 6e-8)), axis=-1)
        return _reduced(losses, _weighted(counts, sample_weight), self.reduction)

    def get_config(self):
        return {**super().get_config(), "kind": self.kind}


def _weighted(counts, sample_weight):
    """How much each token `(B, T)` counts, times the weight of its example or its own."""
    if sample_weight is None:
        return counts
    weight = ops.cast(sample_weight, "float32")
    return counts * (weight if len(weight.shape) == 2 else weight[:, None])


def _reduced(losses, counts, reduction):
    """Losses `(B, T)` of tokens that count as much as `counts` says, to what Keras asked for."""
    losses = losses * counts
    if reduction == "none" or reduction is None:
        return losses
    total = ops.sum(losses)
    return total if reduction == "sum" else total / ops.maximum(ops.sum(counts), 1e-7)
