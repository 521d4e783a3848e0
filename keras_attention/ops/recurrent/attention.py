"""The loop of a recurrent decoder that reads a memory before each step."""

from typing import Any

import keras

from keras_attention._conversion import traced_for_conversion
from keras_attention._types import Tensor


def has_recurrent_attention(dtype: Any) -> Tensor:
    """True if `recurrent_attention` runs on this backend with tensors of this dtype.

    The loops of JAX and PyTorch have good gradients by themselves. In half precision each layer
    has its own rules of what to widen.
    """
    on_tensorflow = keras.backend.backend() == "tensorflow" and dtype == "float32"
    return on_tensorflow and not traced_for_conversion()


def recurrent_attention(
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
    """All states and contexts of a recurrent cell that attends with its previous state.

    At each step, with the hidden state h, which is the first of `state`:

        p = h hidden_kernel               its first G columns: what h adds to the gates,
                                          the others: the query; without others, q = h
        scores = vector . tanh(q + key)   without a vector: q . key
        c = softmax(scores) value
        state = cell(inputs + c context_kernel, p[:G] + hidden_bias, state)

    What does not depend on the state is not in here: the caller projects inputs and key before,
    and what is read from the states after.

    Args:
        cell: `"gru"` (with `reset_after=True`) or `"lstm"`, gates in Keras' order.
        inputs: `(T, B, G)`, projected, G being 3H for a GRU and 4H for an LSTM.
        state: list of `(B, H)` before the first step: one for a GRU, hidden and carry for an LSTM.
        key: `(B, Tv, U)`, projected.
        value: `(B, Tv, D)`.
        mask: boolean `(B, 1, Tv)`, True = may be attended to. Where it is False, key and value
            must be finite, see `zero_masked`.
        context_kernel: `(D, G)`.
        hidden_kernel: `(H, G + U)`, or `(H, G)` where the state itself is the query.
        hidden_bias: `(G,)`.
        vector: `(U,)` for additive scores, None for dot products.

    Returns:
        Hidden states `(T, B, H)` and contexts `(T, B, D)`, float32. T and B may be unknown.

    Reference: Cho et al., 2014, https://arxiv.org/abs/1406.1078; Bahdanau, Cho and Bengio, 2015,
    https://arxiv.org/abs/1409.0473, section A.2.2.
    """
    from keras_attention.ops.recurrent.attention_tensorflow import run

    return run(
        cell,
        inputs,
        state,
        key,
        value,
        mask,
        context_kernel,
        hidden_kernel,
        hidden_bias,
        vector,
    )
