"""From the package `keras-self-attention` (CyberZHG)."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_attention.layers import BahdanauAttention, LuongAttention, TimeDistributedScorer
from keras_attention.migrate.matching import Fill, Variable, check_built, load, same


def load_self_attention(layer: Any, variables: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Loads a layer of keras-self-attention, or nothing if it does not fit.

    | theirs | ours |
    |---|---|
    | `SeqSelfAttention(units)` | `BahdanauAttention(units, normalize=True)` |
    | `SeqSelfAttention(units, use_additive_bias=False)` | `BahdanauAttention(units)` |
    | `SeqSelfAttention(attention_type="multiplicative")` | `LuongAttention("general")` |
    | `SeqWeightedAttention()` | `TimeDistributedScorer(keras.layers.Dense(1))`, of one sequence |

    Self-attention is `layer(x, x)`; `history_only=True` is `use_causal_mask=True`. The bias that
    SeqSelfAttention adds to all scores alike (`ba`) changes no weight and is left out; so a layer
    of theirs with an `attention_activation`, under which it does, has no counterpart. With masks
    the outputs differ, since there a step that is no padding attends to padding, too.

    Example:

    ```python
    layer = BahdanauAttention(32, normalize=True)
    layer.build((None, None, 64), (None, None, 64))
    load_self_attention(layer, read_variables("self_attention.npz"))
    ```

    Args:
        layer: a layer of this package as the table says, built.
        variables: a mapping from names to arrays; the names end as those of `layer.weights` and of
            checkpoints do, in `_Add_Wt` and so on.

    Returns:
        A dict from each name to the paths of the weights that it filled, as a tuple.

    Raises:
        ValueError: a variable is missing, there twice, not expected, or of another shape; the
            layer is none of these, or is not built. Then no weight has changed.
    """
    check_built(layer=layer)
    if isinstance(layer, BahdanauAttention):
        expected = _additive(layer)
    elif isinstance(layer, LuongAttention) and layer.score == "general" and not layer.scale:
        rows, columns = layer.kernel.shape
        transposed = Fill(layer.kernel, np.transpose)
        expected = [Variable(("*_Mul_Wa",), (columns, rows), (transposed,)), _ignored("*_Mul_ba")]
    elif _is_pooling(layer):
        expected = [same(layer.scorer.kernel, "*_W")]
        if layer.scorer.use_bias:
            expected.append(same(layer.scorer.bias, "*_b"))
    else:
        raise ValueError(
            "Expected BahdanauAttention, LuongAttention('general') without scale or "
            f"TimeDistributedScorer(Dense(1)). Received: layer={layer!r}"
        )
    return load(expected, variables)


def _additive(layer: Any) -> list[Variable]:
    fills: list[Fill] = [Fill(layer.attention_v, lambda kernel: kernel[:, 0])]
    expected = [
        same(layer.query_dense.kernel, "*_Add_Wt"),
        same(layer.key_dense.kernel, "*_Add_Wx"),
        _ignored("*_Add_ba"),
    ]
    if layer.normalize:  # for its bias: with g = |v| the vector g v / |v| is v
        fills.append(Fill(layer.attention_g, np.linalg.norm))
        expected.append(same(layer.attention_b, "*_Add_bh"))
    return [*expected, Variable(("*_Add_Wa",), (layer.units, 1), tuple(fills))]


def _ignored(name: str) -> Variable:
    return Variable((name,), (1,), (), required=False)


def _is_pooling(layer: Any) -> bool:
    if not isinstance(layer, TimeDistributedScorer) or type(layer.scorer) is not keras.layers.Dense:
        return False
    return layer.scorer.activation is keras.activations.linear
