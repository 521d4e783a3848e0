"""From the package `attention` (philipperemy/keras-attention)."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_attention.layers import BahdanauAttention, LuongAttention
from keras_attention.migrate.matching import Fill, Variable, check_built, load, same


def load_attention(
    attention: Any, attention_vector: Any, variables: Mapping[str, Any]
) -> dict[str, tuple[str, ...]]:
    """Loads a layer `Attention(units, score)`, or nothing if it does not fit.

    That layer asks with the last step of a sequence, attends to all of it, and puts out
    `tanh(W [context; last step])`. Here that is two layers, which take any query and any mask:

    ```python
    attention = LuongAttention("general")  # score="luong"; for "bahdanau" BahdanauAttention(D)
    attention_vector = keras.layers.Dense(units, "tanh", use_bias=False)

    last = sequence[:, -1:]  # sequence (B, T, D)
    context = attention(last, sequence)
    answer = attention_vector(keras.ops.concatenate([context, last], axis=-1)[:, 0])  # (B, units)

    load_attention(attention, attention_vector, read_variables("attention.npz"))
    ```

    Args:
        attention: `LuongAttention("general")` or `BahdanauAttention(D)`, built.
        attention_vector: `keras.layers.Dense(units, "tanh", use_bias=False)`, built.
        variables: a mapping from names to arrays. `layer.weights` and checkpoints have names that
            end in `luong_w/kernel` (or `bahdanau_w1/kernel` and so on) and in
            `attention_vector/kernel` or `w_c/kernel`.

    Returns:
        A dict from each name to the paths of the weights that it filled, as a tuple.

    Raises:
        ValueError: a variable is missing, there twice, not expected, or of another shape; a layer
            is none of these, or is not built. Then no weight has changed.
    """
    check_built(attention=attention, attention_vector=attention_vector)
    return load([*_of_attention(attention), *_of_vector(attention_vector)], variables)


def _of_attention(layer: Any) -> list[Variable]:
    if isinstance(layer, BahdanauAttention) and not layer.normalize:
        vector = Fill(layer.attention_v, lambda kernel: kernel[:, 0])
        return [
            same(layer.query_dense.kernel, "bahdanau_w1/kernel"),
            same(layer.key_dense.kernel, "bahdanau_w2/kernel"),
            Variable(("bahdanau_v/kernel",), (layer.units, 1), (vector,)),
        ]
    if isinstance(layer, LuongAttention) and layer.score == "general" and not layer.scale:
        return [same(layer.kernel, "luong_w/kernel")]
    raise ValueError(
        "Expected LuongAttention('general') without scale or BahdanauAttention without normalize. "
        f"Received: attention={layer!r}"
    )


def _of_vector(layer: Any) -> list[Variable]:
    activation = getattr(layer, "activation", None)
    if len(layer.weights) != 1 or activation is not keras.activations.tanh:
        raise ValueError(
            "Expected attention_vector to be keras.layers.Dense(units, 'tanh', use_bias=False). "
            f"Received: weights {[weight.name for weight in layer.weights]}, {activation=}"
        )
    return [same(layer.weights[0], "attention_vector/kernel", "w_c/kernel")]
