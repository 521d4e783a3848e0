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
        counts = ops.cast(labels != self.pad_id, "float32")
        if sample_weight is not None:
            weight = ops.cast(sample_weight, "float32")
            counts = counts * (weight if len(weight.shape) == 2 else weight[:, None])
        losses = self.call(labels, y_pred) * counts
        if self.reduction == "none" or self.reduction is None:
            return losses
        total = ops.sum(losses)
        return total if self.reduction == "sum" else total / ops.maximum(ops.sum(counts), 1e-7)

    def call(self, y_true, y_pred):
        log_probabilities = ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1)
        gains = ops.take_along_axis(log_probabilities, y_true[..., None], axis=-1)[..., 0]
        smoothed = ops.mean(log_probabilities, axis=-1)
        return -(1 - self.label_smoothing) * gains - self.label_smoothing * smoothed

    def get_config(self):
        config = {"label_smoothing": self.label_smoothing, "pad_id": self.pad_id}
        return {**super().get_config(), **config}
