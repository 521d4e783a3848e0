"""Metrics over sequences."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_attention")
class TokenAccuracy(keras.metrics.Mean):
    """Share of the tokens, padding apart, whose likeliest prediction is right.

    Under teacher forcing: each prediction sees the right tokens before it.

    Args:
        pad_id: the label that does not count.
    """

    def __init__(self, pad_id=0, name="token_accuracy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.pad_id = pad_id

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels = ops.cast(y_true, "int32")
        right = ops.equal(labels, ops.cast(ops.argmax(y_pred, axis=-1), "int32"))
        super().update_state(right, ops.cast(labels != self.pad_id, "float32"))

    def get_config(self):
        return {**super().get_config(), "pad_id": self.pad_id}


@keras.saving.register_keras_serializable(package="keras_attention")
class SequenceAccuracy(keras.metrics.Mean):
    """Share of the sequences in which every token is predicted right.

    Under teacher forcing this is exact match: a sequence all of whose tokens are right given the
    right tokens before them is what greedy decoding finds.

    Args:
        pad_id: the label that does not count.
    """

    def __init__(self, pad_id=0, name="exact_match", **kwargs):
        super().__init__(name=name, **kwargs)
        self.pad_id = pad_id

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels = ops.cast(y_true, "int32")
        right = ops.equal(labels, ops.cast(ops.argmax(y_pred, axis=-1), "int32"))
        super().update_state(ops.all(ops.logical_or(right, labels == self.pad_id), axis=-1))

    def get_config(self):
        return {**super().get_config(), "pad_id": self.pad_id}
