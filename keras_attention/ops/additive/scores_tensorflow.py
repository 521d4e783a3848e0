"""The additive score on TensorFlow: a chain where XLA compiles, products of matrices elsewhere."""

from typing import Any

import tensorflow as tf

from keras_attention._types import Tensor
from keras_attention._xla import compiled_by_xla
from keras_attention.ops.additive import elementwise, matmul
from keras_attention.ops.scores import plain_additive_scores

# Elements of a slab `(groups, B, Tq, Tv)`: enough to keep the processors busy with one operation,
# few enough to stay in their caches. One group at least.
SCORE_SLAB = 1 << 18
GRADIENT_SLAB = 1 << 19
# With so many queries, as the beams of a search are, the plain formula is up to three times as
# fast. Where their number is known, the gradient does without what it builds.
FEW_QUERIES = 8


def scores(query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
    """`(B, Tq, Tv)` of `query (B, Tq, U)`, `key (B, Tv, U)` and `vector (U,)`."""
    return (_in_chain if compiled_by_xla() else _in_slabs)(query, key, vector)


@tf.custom_gradient
def _in_chain(query: Tensor, key: Tensor, vector: Tensor) -> tuple[Any, Any]:
    def gradient(upstream: Tensor) -> Tensor:
        return elementwise.gradients(query, key, vector, upstream)

    of = plain_additive_scores if _has_few_queries(query) else elementwise.scores
    return of(query, key, vector), gradient


@tf.custom_gradient
def _in_slabs(query: Tensor, key: Tensor, vector: Tensor) -> tuple[Any, Any]:
    fast, exact = matmul.SCORE_GROUP, 1

    def few() -> Tensor:
        return plain_additive_scores(query, key, vector)

    def many() -> Tensor:
        return tf.cond(
            matmul.scores_are_exact(query, key),
            lambda: _sum_scores(matmul.scores, fast, query, key, vector),
            lambda: _sum_scores(matmul.exact_scores, exact, query, key, vector),
        )

    # In a step of an exported decoder, how many queries there are is seen when it runs.
    if query.shape[1] is None:
        result = tf.cond(tf.shape(query)[1] <= FEW_QUERIES, few, many)
    else:
        result = few() if _has_few_queries(query) else many()

    def gradient(upstream: Tensor) -> tuple[Any, Any, Any]:
        fast, exact = matmul.GRADIENT_GROUP, 1
        by_query, by_key, by_vector = tf.cond(
            matmul.gradients_are_exact(query, key),
            lambda: _join_gradients(matmul.gradients, fast, query, key, upstream),
            lambda: _join_gradients(matmul.exact_gradients, exact, query, key, upstream),
        )
        return vector * by_query, vector * by_key, by_vector

    return result, gradient


def _has_few_queries(query: Tensor) -> Tensor:
    return query.shape[1] is not None and query.shape[1] <= FEW_QUERIES


def _sum_scores(of_slab: Tensor, size: Any, query: Tensor, key: Tensor, vector: Tensor) -> Tensor:
    query, key, vector = (matmul.padded(x, size) for x in (query, key, vector))
    vector = tf.reshape(vector, [-1, size])
    query, key = (matmul.in_groups(x, size) for x in (query, key))
    shape = tf.stack([tf.shape(query)[1], tf.shape(query)[3], tf.shape(key)[3]])
    groups, width = query.shape[0], _width(shape, SCORE_SLAB)

    def body(start: Any, total: Tensor) -> tuple[Any, Any]:
        part = slice(start, start + width)
        slab = of_slab(query[part], key[part], vector[part])
        return start + width, total + tf.ensure_shape(slab, total.shape)

    start = (tf.constant(0), tf.zeros(shape, query.dtype))
    return tf.while_loop(lambda start, _: start < groups, body, start, parallel_iterations=1)[1]


def _join_gradients(
    of_slab: Tensor, size: Any, query: Tensor, key: Tensor, upstream: Tensor
) -> tuple[Any, Any, Any]:
    units = query.shape[-1]
    query, key = (matmul.padded(x, size) for x in (query, key))
    query, key = (matmul.in_groups(x, size) for x in (query, key))
    groups, width = query.shape[0], _width(tf.shape(upstream), GRADIENT_SLAB)
    found = [
        tf.TensorArray(query.dtype, size=0, dynamic_size=True, infer_shape=False) for _ in range(3)
    ]

    def body(start: Any, *found: Any) -> Any:
        part = slice(start, start + width)
        slabs = of_slab(query[part], key[part], upstream)
        index = start // width
        written = [one.write(index, slab) for one, slab in zip(found, slabs, strict=True)]
        return start + width, *written

    _, *found = tf.while_loop(
        lambda start, *_: start < groups, body, (tf.constant(0), *found), parallel_iterations=1
    )
    by_query, by_key, by_vector = (one.concat() for one in found)
    by_query, by_key = (
        matmul.out_of_groups(tf.reshape(joined, tf.shape(like)))[:, :, :units]
        for joined, like in ((by_query, query), (by_key, key))
    )
    return by_query, by_key, tf.reshape(by_vector, [-1])[:units]


def _width(shape: Any, slab: Tensor) -> Tensor:
    """Number of groups in a slab."""
    return tf.maximum(1, slab // tf.maximum(1, tf.reduce_prod(shape)))
