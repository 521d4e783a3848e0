"""Dot-product attention in blocks, on the way there: a softmax that is kept up to date."""

from typing import Any

import tensorflow as tf

from keras_attention._types import Tensor
from keras_attention.ops.dot_product.block_tensorflow import NOTHING


def forward(blocks: Tensor) -> tuple[Any, Any, Any]:
    """Output `(B, H, Tq, Dv)`, logs of the sums, one block a row, and who sees what is not finite.

    A row's log is that of the sum of its exponentials, so that `exp(score - log)` is its weight; of
    a row with nothing to attend to it is so high that all weights are 0.
    """
    tiling, dtype = blocks.tiling, blocks.dtype
    value_dtype = blocks.inputs["value"].dtype
    stores = [tiling.row_blocks(value_dtype), tiling.row_blocks(dtype)]
    if blocks.nonfinite is not None:
        stores.append(tiling.row_blocks(tf.bool))

    def rows(step: Tensor, *stores: Any) -> Tensor:
        at = {"b": step // tiling.count_q, "q": step % tiling.count_q}
        query = blocks.query(at)
        log = tf.fill([*tiling.row_shape, 1], tf.cast(NOTHING, dtype))
        if blocks.sinks is not None:
            log = tf.broadcast_to(blocks.sinks, [*tiling.row_shape, 1])
        carry = [log, tf.zeros([*tiling.row_shape, blocks.value_features], dtype)]
        if blocks.nonfinite is not None:
            carry.append(tf.zeros([*tiling.row_shape, 1], tf.bool))

        def column(j: Tensor, needs_mask: Tensor, log: Tensor, mixed: Tensor, *sees: Any) -> Tensor:
            here = at | {"k": j}
            key, value = blocks.key_and_value(here)
            scores, _, visible = blocks.scores(query, key, here, needs_mask)
            weights, log_here, factor = blocks.softmax(scores)
            if blocks.dropout:
                weights *= blocks.dropout_factors(here)
            mixed_here = tiling.by_row(tf.matmul(tiling.flat(weights), value)) * factor
            both = _log_add(log, log_here)
            mixed = mixed * tf.exp(log - both) + mixed_here * tf.exp(log_here - both)
            if sees:
                seen = tiling.slice_block(blocks.nonfinite, here, "b.k")[:, :, None, None, :]
                seen = seen if visible is None else tf.logical_and(seen, visible)
                sees = (tf.logical_or(sees[0], tf.reduce_any(seen, -1, keepdims=True)),)
            return [both, mixed, *sees]

        log, mixed, *sees = blocks.block_range.over_columns(at["q"], column, carry)
        log = tf.where(log <= NOTHING, tf.cast(-NOTHING, dtype), log)
        found = [tf.cast(mixed, value_dtype), log, *sees]
        return [step + 1, *(s.write(step, x) for s, x in zip(stores, found, strict=True))]

    output, logs, *sees = blocks.block_range.over_rows(rows, stores)
    sees = tiling.joined(sees[0].stack(), 1) if sees else None
    return tiling.joined(output.stack(), blocks.value_features), logs.stack(), sees


def _log_add(a: Tensor, b: Tensor) -> Tensor:
    """`log(exp(a) + exp(b))` of finite numbers."""
    return tf.maximum(a, b) + tf.math.log1p(tf.exp(-tf.abs(a - b)))
