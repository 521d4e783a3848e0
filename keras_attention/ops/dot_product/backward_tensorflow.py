"""Dot-product attention in blocks, on the way back: each block is computed once more."""

from typing import Any

import tensorflow as tf

from keras_attention._types import Tensor
from keras_attention.ops.dot_product.bias_gradient_tensorflow import BiasGradient
from keras_attention.ops.dot_product.tiling_tensorflow import add, shape_of, zeros


def backward(blocks: Tensor, d_output: Tensor, output: Any, logs: dict[str, float]) -> Tensor:
    """Gradients by query, key, value and, where given, bias and sinks."""
    tiling, dtype = blocks.tiling, blocks.dtype
    d_output = tf.cast(d_output, dtype)
    # The part of each score's gradient that keeps the sum of the weights at 1.
    kept = tf.reduce_sum(d_output * tf.cast(output, dtype), -1, keepdims=True)
    d_output, kept = (tiling.pad(tiling.by_head(x), "b..q.") for x in (d_output, kept))
    # What is subtracted from each row of a block can be one more feature, times 1: two passes over
    # the block less. XLA makes one pass of them all anyway.
    in_product = not (blocks.in_xla or blocks.soft_cap or blocks.dropout)
    bias = None if blocks.bias is None else BiasGradient(blocks)
    shape = [tiling.count_b * tiling.count_k, tiling.group, tiling.kv_heads]
    stores = [
        tiling.row_blocks(dtype),
        zeros([*shape, blocks.features, tiling.columns], dtype),
        zeros([*shape, blocks.value_features, tiling.columns], dtype),
    ]
    if bias:
        stores.append(bias.zeros())

    def rows(step: Tensor, d_query_rows: Tensor, *stores: Any) -> Tensor:
        at = {"b": step // tiling.count_q, "q": step % tiling.count_q}
        query = blocks.query(at)
        d_mixed = tiling.flat(tiling.slice_block(d_output, at, "b..q."))
        # Gradients by keys and values are made transposed, (D, columns): then it is these small
        # ones that are transposed and not blocks of scores.
        query_t, d_mixed_t = (tf.linalg.matrix_transpose(x) for x in (query, d_mixed))
        kept_here, log = tiling.slice_block(kept, at, "b..q."), logs[step]
        if in_product:
            query_less, d_mixed_less = _with(query, -log), _with(d_mixed, -kept_here)

        def column(
            j: Tensor,
            needs_mask: Tensor,
            d_query: Tensor,
            d_keys: Tensor,
            d_values: Tensor,
            *d_biases: Any,
        ) -> Tensor:
            here = at | {"k": j}
            key, value = blocks.key_and_value(here)
            factors = blocks.dropout_factors(here) if blocks.dropout else None
            if in_product:
                ones = tf.ones_like(key[..., :1])
                scores, capped, _ = blocks.scores(query_less, _with(key, ones), here, needs_mask)
                weights = tf.exp(scores)
                d_weights = tf.matmul(d_mixed_less, _with(value, ones), transpose_b=True)
                d_scores = weights * tiling.by_row(d_weights)
            else:
                scores, capped, _ = blocks.scores(query, key, here, needs_mask, minus=log)
                weights = tf.exp(scores)
                d_weights = tiling.by_row(tf.matmul(d_mixed, value, transpose_b=True))
                d_weights = d_weights * factors if blocks.dropout else d_weights
                d_scores = weights * (d_weights - kept_here)
            if bias:
                d_biases = (bias.add(d_biases[0], d_scores, here),)
            if blocks.soft_cap:
                d_scores *= 1 - tf.square(capped)
            d_scores = tiling.flat(d_scores)
            mixing = weights * factors if blocks.dropout else weights
            index = at["b"] * tiling.count_k + j
            d_key = tf.matmul(query_t, d_scores)
            d_value = tf.matmul(d_mixed_t, tiling.flat(mixing))
            return [
                d_query + tf.matmul(d_scores, key),
                add(d_keys, index, d_key),
                add(d_values, index, d_value),
                *d_biases,
            ]

        carry = [tf.zeros_like(query), *stores]
        d_query, *stores = blocks.block_range.over_columns(at["q"], column, carry)
        return [step + 1, d_query_rows.write(step, tiling.by_row(d_query)), *stores]

    d_query, d_key, d_value, *d_bias = blocks.block_range.over_rows(rows, stores)
    found = {
        "query": tiling.joined(d_query.stack(), blocks.features),
        "key": tiling.joined_keys(d_key.stack(), blocks.features),
        "value": tiling.joined_keys(d_value.stack(), blocks.value_features),
    }
    if bias:
        found["bias"] = bias.joined(d_bias[0].stack())
    if blocks.sinks is not None:
        found["sinks"] = _d_sinks(blocks, logs, kept)
    return [tf.cast(d, blocks.inputs[name].dtype) for name, d in found.items()]


def _d_sinks(blocks: Tensor, logs: dict[str, float], kept: Tensor) -> Tensor:
    tiling = blocks.tiling
    logs = tiling.by_head(tiling.joined(logs, 1))
    kept = kept[: tiling.batch, :, :, : tiling.query_length]
    d_sinks = -tf.reduce_sum(tf.exp(blocks.sinks - logs) * kept, [0, 3, 4])
    return tf.reshape(d_sinks, [tiling.kv_heads * tiling.shared])


def _with(x: Tensor, column: Tensor) -> Tensor:
    """`x` with one feature more, that has the same elements in another shape."""
    return tf.concat([x, tf.reshape(column, [*shape_of(x)[:-1], 1])], -1)
