"""`recurrent_attention` on TensorFlow, with a gradient written by hand.

TensorFlow differentiates a loop step by step: each step back adds to the gradients of all weights
and of the memory, and what it needs of each step is kept, the tanh of every query with every key
included. Here the loop back carries the gradient of the state and keeps what flowed into each
product; the gradient of a weight is then one product over all steps, after the loop. The tanh is
computed again.

In names, `d_x` is the gradient of the loss by x.
"""

from typing import Any

import tensorflow as tf

from keras_attention._types import Tensor
from keras_attention.ops.recurrent.cells_tensorflow import CELLS
from keras_attention.ops.softmax import masked_softmax


def run(
    cell: Any,
    inputs: Tensor,
    state: Any,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    context_kernel: Tensor,
    hidden_kernel: Tensor,
    hidden_bias: Tensor,
    vector: Tensor | None = None,
) -> Tensor:
    """See `recurrent_attention`."""
    # As tensors: `custom_gradient` wants no variable to be read inside.
    tensors = [inputs, key, value, context_kernel, hidden_kernel, hidden_bias, *state]
    tensors += [] if vector is None else [vector]
    loop = tf.custom_gradient(lambda *tensors: _forward_and_back(cell, mask, *tensors))
    return loop(*(tf.convert_to_tensor(x) for x in tensors))


def _forward_and_back(
    cell: Any,
    mask: Tensor,
    inputs: Tensor,
    key: Tensor,
    value: Tensor,
    context_kernel: Tensor,
    hidden_kernel: Tensor,
    hidden_bias: Tensor,
    *rest: Any,
) -> tuple[Any, Any]:
    """Hidden states and contexts, and the function of their gradients that returns all others."""
    cell = CELLS[cell]
    state, vector = rest[: cell.states], rest[cell.states :]
    score = _Additive(key, *vector) if vector else _Dot(key)
    steps = inputs.shape[0] or tf.shape(inputs)[0]
    gates = inputs.shape[2]

    def step(t: Tensor, state: Any) -> tuple[Any, Any]:
        projected = tf.matmul(state[0], hidden_kernel)
        query = projected[:, gates:] if vector else state[0]
        weights = masked_softmax(score.forward(query)[:, None], mask)
        context = tf.matmul(weights, value)[:, 0]
        x = inputs[t] + tf.matmul(context, context_kernel)
        new, saved = cell.forward(x, projected[:, :gates] + hidden_bias, state)
        return new, (new[0], context, weights[:, 0], query, *state, *saved)

    units, query_width = hidden_kernel.shape[0], hidden_kernel.shape[1] - gates or None
    widths = [units, value.shape[2], key.shape[1], query_width or units]
    widths += [units] * (cell.states + cell.saved)
    _, taken = _loop(steps, step, tuple(state), inputs, widths)
    hidden, context, weights, query = taken[:4]
    before, saved = taken[4 : 4 + cell.states], taken[4 + cell.states :]

    def gradient(d_hidden: Tensor, d_context: Tensor) -> Any:
        def step(t: Tensor, carried: Tensor) -> tuple[Any, Any]:
            d_state, sums = carried
            d_inputs, d_projected, d_state = cell.back(
                (d_state[0] + d_hidden[t], *d_state[1:]),
                [x[t] for x in before],
                [x[t] for x in saved],
            )
            d_read = d_context[t] + tf.matmul(d_inputs, context_kernel, transpose_b=True)
            d_weights = tf.matmul(d_read[:, None], value, transpose_b=True)[:, 0]
            mean = tf.reduce_sum(weights[t] * d_weights, axis=-1, keepdims=True)
            d_scores = weights[t] * (d_weights - mean)
            d_query, sums = score.back(d_scores, query[t], sums)
            d_before = d_state[0]
            if vector:
                d_projected = tf.concat([d_projected, d_query], axis=-1)
            else:
                d_before += d_query
            d_before += tf.matmul(d_projected, hidden_kernel, transpose_b=True)
            kept = (d_inputs, d_projected, d_read, d_scores)
            return ((d_before, *d_state[1:]), sums), kept

        start = tuple(tf.zeros_like(x) for x in state), score.sums()
        widths = [gates, hidden_kernel.shape[1], value.shape[2], key.shape[1]]
        (d_state, sums), kept = _loop(steps, step, start, inputs, widths, backwards=True)
        d_inputs, d_projected, d_read, d_scores = kept
        d_key, *d_vector = score.finish(d_scores, query, sums)
        return (
            d_inputs,
            d_key,
            tf.einsum("tbj,tbd->bjd", weights, d_read),
            _product(context, d_inputs),
            _product(before[0], d_projected),
            tf.reduce_sum(d_projected[:, :, :gates], axis=(0, 1)),
            *d_state,
            *d_vector,
        )

    return (hidden, context), gradient


class _Dot:
    """Scores `q . k`. Each key meets each query once: its gradient waits until after the loop."""

    def __init__(self, key: Tensor) -> None:
        self.key = key

    def forward(self, query: Tensor) -> Tensor:
        return tf.matmul(query[:, None], self.key, transpose_b=True)[:, 0]

    def sums(self) -> tuple[()]:
        return ()

    def back(self, d_scores: Tensor, query: Tensor, sums: Tensor) -> tuple[Any, Any]:
        return tf.matmul(d_scores[:, None], self.key)[:, 0], sums

    def finish(self, d_scores: Tensor, query: Tensor, sums: Tensor) -> tuple[Any]:
        return (tf.einsum("tbj,tbu->bju", d_scores, query),)


class _Additive:
    """Scores `v . tanh(q + k)`.

    The gradient of the keys is summed up in the loop: the tanh is at hand there, and to compute it
    a second time, in a loop of its own, takes longer than to read and write the sum.
    """

    def __init__(self, key: Tensor, vector: Tensor) -> None:
        self.key = key
        self.vector = vector

    def forward(self, query: Tensor) -> Tensor:
        return tf.tensordot(tf.tanh(query[:, None] + self.key), self.vector, 1)

    def sums(self) -> tuple[Any, Any]:
        return tf.zeros_like(self.key), tf.zeros_like(self.key[:, 0])

    def back(self, d_scores: Tensor, query: Tensor, sums: Tensor) -> tuple[Any, Any]:
        by_key, by_vector = sums
        x = tf.tanh(query[:, None] + self.key)
        d = d_scores[:, :, None] * (1 - x * x)
        # For each example by itself: XLA is ten times slower at one sum over examples and keys.
        by_vector += tf.matmul(d_scores[:, None], x)[:, 0]
        return self.vector * tf.reduce_sum(d, axis=1), (by_key + d, by_vector)

    def finish(self, d_scores: Tensor, query: Tensor, sums: Tensor) -> tuple[Any, Any]:
        by_key, by_vector = sums
        return self.vector * by_key, tf.reduce_sum(by_vector, axis=0)


def _loop(
    steps: Tensor, step: Tensor, start: Any, like: Tensor, widths: Tensor, backwards: bool = False
) -> tuple[Any, Any]:
    """The last of what a loop carries, and all of what its steps return: `(T, B, width)` each."""
    batch = like.shape[1]
    kept = tuple(tf.TensorArray(like.dtype, steps, element_shape=(batch, w)) for w in widths)

    def body(i: Tensor, carried: Tensor, kept: Tensor) -> tuple[Any, Any, Any]:
        t = steps - 1 - i if backwards else i
        carried, new = step(t, carried)
        return i + 1, carried, tuple(k.write(t, x) for k, x in zip(kept, new, strict=True))

    _, carried, kept = tf.while_loop(
        lambda i, *_: i < steps,
        body,
        (0, start, kept),
        # Steps wait for each other anyway; to prepare for more of them at once takes memory.
        parallel_iterations=1,
        maximum_iterations=steps,
    )
    return carried, [k.stack() for k in kept]


def _product(left: Tensor, right: Tensor) -> Tensor:
    """`left^T right` over all steps and examples: `(T, B, M)`, `(T, B, N)` to `(M, N)`."""
    return tf.tensordot(left, right, [[0, 1], [0, 1]])
