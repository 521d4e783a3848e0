"""Batches without an example."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_attention._types import Tensor


def answering_empty_batches(
    answer: Callable[[dict[str, Tensor]], Any], names: Sequence[str]
) -> Callable[[dict[str, Tensor]], Any]:
    """Makes a function that gives empty outputs for an empty batch.

    Many layers and loops need one example at least. So one of zeros and empty strings is put into
    an empty batch, and its outputs are cut off.

    Args:
        answer: function of a dictionary of tensors to another.
        names: of the inputs that have to be empty all at once; others may have one row for all.

    Returns:
        A function like `answer`.
    """

    def wrapped(inputs: dict[str, Tensor]) -> Any:
        is_empty = tf.reduce_all([tf.equal(tf.shape(inputs[name])[0], 0) for name in names])
        filled = {name: _with_a_row(x, is_empty) for name, x in inputs.items()}
        return {name: _without_rows(x, is_empty) for name, x in answer(filled).items()}

    return wrapped


def _with_a_row(x: Tensor, is_empty: Tensor) -> Tensor:
    if not _is_batch(x):
        return x
    rows = tf.cast(tf.logical_and(is_empty, tf.equal(tf.shape(x)[0], 0)), tf.int32)
    row = tf.zeros(tf.concat([[rows], tf.shape(x)[1:]], axis=0), x.dtype)
    filled = tf.concat([x, row], axis=0)
    filled.set_shape(x.shape)
    return filled


def _without_rows(x: Tensor, is_empty: Tensor) -> Tensor:
    x = tf.convert_to_tensor(x)
    return x[: tf.where(is_empty, 0, tf.shape(x)[0])] if _is_batch(x) else x


def _is_batch(x: Tensor) -> bool:
    return x.shape.rank not in (None, 0) and x.shape[0] is None
