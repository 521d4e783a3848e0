"""Batches without an example."""

import tensorflow as tf


def answering_empty_batches(answer, names):
    """Makes a function that gives empty outputs for an empty batch.

    Many layers and loops need one example at least. So one of zeros and empty strings is put into
    an empty batch, and its outputs are cut off.

    Args:
        answer: function of a dictionary of tensors to another.
        names: of the inputs that have to be empty all at once; others may have one row for all.

    Returns:
        A function like `answer`.
    """

    def wrapped(inputs):
        is_empty = tf.reduce_all([tf.equal(tf.shape(inputs[name])[0], 0) for name in names])
        filled = {name: _with_a_row(x, is_empty) for name, x in inputs.items()}
        return {name: _without_rows(x, is_empty) for name, x in answer(filled).items()}

    return wrapped


def _with_a_row(x, is_empty):
    if not _is_batch(x):
        return x
    rows = tf.cast(tf.logical_and(is_empty, tf.equal(tf.shape(x)[0], 0)), tf.int32)
    row = tf.zeros(tf.concat([[rows], tf.shape(x)[1:]], axis=0), x.dtype)
    filled = tf.concat([x, row], axis=0)
    filled.set_shape(x.shape)
    return filled


def _without_rows(x, is_empty):
    x = tf.convert_to_tensor(x)
    return x[: tf.where(is_empty, 0, tf.shape(x)[0])] if _is_batch(x) else x


def _is_batch(x):
    return x.shape.rank not in (None, 0) and x.shape[0] is None
