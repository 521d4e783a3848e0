"""From TensorFlow Addons (tfa.seq2seq)."""

from collections.abc import Iterator, Mapping
from typing import Any

from keras_attention.layers import BahdanauAttention, LuongAttention, MonotonicAttention
from keras_attention.migrate.matching import Variable, check_built, load, same
from keras_attention.models import AttentionCell, AttentionDecoder


def load_addons(layer: Any, variables: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Loads what was trained with TensorFlow Addons, or nothing if it does not fit.

    | theirs | ours |
    |---|---|
    | `BahdanauAttention(units, normalize=...)` | `BahdanauAttention(units, normalize=...)` |
    | `LuongAttention(units, scale=...)` | `LuongAttention("general", scale=...)` |
    | `BahdanauMonotonicAttention` | `MonotonicAttention(BahdanauAttention(units, ...))` |
    | `LuongMonotonicAttention` | `MonotonicAttention(LuongAttention("general", ...))` |
    | `AttentionWrapper` | `AttentionCell` |
    | `BasicDecoder`, `BeamSearchDecoder` | `AttentionDecoder`, but for its embedding |

    Variables are known by the ends of their names in a checkpoint: `query_layer/kernel`,
    `memory_layer/kernel`, `attention_v`, `attention_g`, `attention_b`, `attention_score_bias`; of a
    wrapper `_attention_layers/0/kernel` or `attention_layer/kernel`, `_cell/kernel` and so on
    (`cells/0/kernel` for each of stacked cells), `_attention_mechanisms/0/attention_v` where there
    are several mechanisms; of a decoder `output_layer/kernel`. What stands before is ignored. The
    names that variables have themselves (`variable.name`) do not do: two layers of one
    mechanism share them.

    Example:

    ```python
    cell = AttentionCell(keras.layers.GRUCell(64), BahdanauAttention(32))
    cell.build((None, None, 16), (None, None, 128))  # of the inputs, of the memory
    load_addons(cell, read_variables("training/ckpt-12", within="decoder"))
    ```

    Args:
        layer: a layer of this package as the table says, built.
        variables: a mapping from names to arrays, such as `read_variables` gives.

    Returns:
        A dict from each name to the paths of the weights that it filled, as a tuple.

    Raises:
        ValueError: a variable is missing, there twice, not expected, or of another shape; the
            layer has no counterpart there, or is not built. Then no weight has changed.
    """
    return load(list(_variables_of(layer)), variables)


def _variables_of(layer: Any) -> Iterator[Variable]:
    check_built(layer=layer)
    if isinstance(layer, AttentionDecoder):
        yield from _of_cell(layer.cell)
        yield from _of_keras(layer.output_layer, "output_layer")
    elif isinstance(layer, AttentionCell):
        yield from _of_cell(layer)
    else:
        yield from _of_mechanism(layer)


def _of_mechanism(layer: Any, within: str = "") -> Iterator[Variable]:
    if isinstance(layer, MonotonicAttention):
        yield same(layer.attention_score_bias, f"{within}attention_score_bias")
        layer = layer.scorer
    if isinstance(layer, BahdanauAttention):
        yield same(layer.query_dense.kernel, f"{within}query_layer/kernel")
        yield same(layer.key_dense.kernel, f"{within}memory_layer/kernel")
        yield same(layer.attention_v, f"{within}attention_v")
        if layer.normalize:
            yield same(layer.attention_g, f"{within}attention_g")
            yield same(layer.attention_b, f"{within}attention_b")
    elif isinstance(layer, LuongAttention) and layer.score == "general":
        yield same(layer.kernel, f"{within}memory_layer/kernel")
        if layer.scale:
            yield same(layer.attention_g, f"{within}attention_g")
    else:
        raise ValueError(
            "Expected BahdanauAttention, LuongAttention('general'), MonotonicAttention over one of "
            "them, or an AttentionCell or AttentionDecoder with them: TensorFlow Addons has no "
            f"other. Received: {layer!r}"
        )


def _of_cell(cell: Any) -> Iterator[Variable]:
    several = len(cell.attentions) > 1
    for i, attention in enumerate(cell.attentions):
        yield from _of_mechanism(attention, f"_attention_mechanisms/{i}/" if several else "")
    for i, layer in enumerate(cell.attention_layers):
        if layer is not None:
            alone = () if several else ("attention_layer/kernel",)
            yield same(layer.kernel, *alone, f"_attention_layers/{i}/kernel")
    stacked = getattr(cell.cell, "cells", None)
    for i, one in enumerate(stacked or [cell.cell]):
        yield from _of_keras(one, f"cells/{i}" if stacked else "*cell*")


def _of_keras(layer: Any, within: str) -> Iterator[Variable]:
    names = [weight.name for weight in layer.weights]
    if len(set(names)) != len(names):
        raise ValueError(
            "Expected a layer whose weights have different names, to tell them apart. "
            f"Received: {names} of {layer!r}"
        )
    for weight in layer.weights:
        yield same(weight, f"{within}/{weight.name}")
