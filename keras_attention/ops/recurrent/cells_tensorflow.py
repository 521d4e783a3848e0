"""GRU and LSTM after their products: from gates to states and back.

For each cell a function forward, `(x, h, state) -> (new state, saved)`, where x is what the inputs
add to the gates and h what the hidden state adds; and a function back, `(d_state, state, saved) ->
(d_x, d_h, d_state)`, where the last leaves out what goes through h. All tensors are `(B, ...)`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from keras_attention._types import Tensor


class Cell(NamedTuple):
    """Attributes: the two functions; how many tensors a state is and how many are saved."""

    forward: Callable[..., Any]
    back: Callable[..., Any]
    states: int
    saved: int


def _gru(x: Tensor, h: Tensor, state: Any) -> tuple[Any, Any]:
    """Gates z (update) and r (reset), candidate n; resets after the product, as Keras does."""
    (before,) = state
    x_z, x_r, x_n = tf.split(x, 3, axis=-1)
    h_z, h_r, h_n = tf.split(h, 3, axis=-1)
    z, r = tf.sigmoid(x_z + h_z), tf.sigmoid(x_r + h_r)
    n = tf.tanh(x_n + r * h_n)
    return (z * before + (1 - z) * n,), (z, r, n, h_n)


def _gru_back(d_state: Tensor, state: Any, saved: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    (d,), (before,) = d_state, state
    z, r, n, h_n = saved
    d_z = d * (before - n) * z * (1 - z)
    d_n = d * (1 - z) * (1 - n * n)
    d_r = d_n * h_n * r * (1 - r)
    return (
        tf.concat([d_z, d_r, d_n], axis=-1),
        tf.concat([d_z, d_r, d_n * r], axis=-1),
        (d * z,),
    )


def _lstm(x: Tensor, h: Tensor, state: Any) -> tuple[Any, Any]:
    """Gates i (input), f (forget) and o (output), candidate g."""
    _, carry = state
    i, f, g, o = tf.split(x + h, 4, axis=-1)
    i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
    carry = f * carry + i * g
    c = tf.tanh(carry)
    return (o * c, carry), (i, f, g, o, c)


def _lstm_back(d_state: Tensor, state: Any, saved: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    d_hidden, d_carry = d_state
    _, before = state
    i, f, g, o, c = saved
    d_carry += d_hidden * o * (1 - c * c)
    d_gates = tf.concat(
        [
            d_carry * g * i * (1 - i),
            d_carry * before * f * (1 - f),
            d_carry * i * (1 - g * g),
            d_hidden * c * o * (1 - o),
        ],
        axis=-1,
    )
    return d_gates, d_gates, (tf.zeros_like(d_hidden), d_carry * f)


CELLS = {"gru": Cell(_gru, _gru_back, 1, 4), "lstm": Cell(_lstm, _lstm_back, 2, 5)}
