"""Dot-product attention in blocks, on the way there: a softmax that is kept up to date."""

import tensorflow as tf

from keras_attention.ops.dot_product.block_tensorflow import NOTHING


def forward(blocks):
    """Output `(B, H, Tq, Dv)`, logs of the sums, one block a row, and who sees what is spoilt.

    A row's log is that of the sum of its exponentials, so that `exp(score - log)` is its weight; of
    a row with nothing to attend to it is so high that all weights are 0.
    """
    grid, dtype = blocks.grid, blocks.dtype
    value_dtype = blocks.inputs["value"].dtype
    stores = [grid.row_blocks(value_dtype), grid.row_blocks(dtype)]
    if blocks.spoilt is not None:
        stores.append(grid.row_blocks(tf.bool))

    def rows(step, *stores):
        at = {"b": step // grid.count_q, "q": step % grid.count_q}
        query = blocks.query(at)
        log = tf.fill([*grid.row_shape, 1], tf.cast(NOTHING, dtype))
        if blocks.sinks is not None:
            log = tf.broadcast_to(blocks.sinks, [*grid.row_shape, 1])
        carry = [log, tf.zeros([*grid.row_shape, blocks.value_features], dtype)]
        if blocks.spoilt is not None:
            carry.append(tf.zeros([*grid.row_shape, 1], tf.bool))

        def column(j, edge, log, mixed, *sees):
            here = at | {"k": j}
            key, value = blocks.key_and_value(here)
            scores, _, visible = blocks.scores(query, key, here, edge)
            weights, log_here, factor = blocks.softmax(scores)
            if blocks.dropout:
                weights *= blocks.dropout_factors(here)
            mixed_here = grid.by_row(tf.matmul(grid.flat(weights), value)) * factor
            both = _log_add(log, log_here)
            mixed = mixed * tf.exp(log - both) + mixed_here * tf.exp(log_here - both)
            if sees:
                seen = grid.pick(blocks.spoilt, here, "b.k")[:, :, None, None, :]
                seen = seen if visible is None else tf.logical_and(seen, visible)
                sees = [tf.logical_or(sees[0], tf.reduce_any(seen, -1, keepdims=True))]
            return [both, mixed, *sees]

        log, mixed, *sees = blocks.reach.over_columns(at["q"], column, carry)
        log = tf.where(log <= NOTHING, tf.cast(-NOTHING, dtype), log)
        found = [tf.cast(mixed, value_dtype), log, *sees]
        return [step + 1, *(s.write(step, x) for s, x in zip(stores, found, strict=True))]

    output, logs, *sees = blocks.reach.over_rows(rows, stores)
    sees = grid.joined(sees[0].stack(), 1) if sees else None
    return grid.joined(output.stack(), blocks.value_features), logs.stack(), sees


def _log_add(a, b):
    """`log(exp(a) + exp(b))` of finite numbers."""
    return tf.maximum(a, b) + tf.math.log1p(tf.exp(-tf.abs(a - b)))
