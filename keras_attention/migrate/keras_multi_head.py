"""From `keras.layers.MultiHeadAttention` and `GroupedQueryAttention`."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from keras_attention.layers import MultiHeadCrossAttention, MultiHeadSelfAttention
from keras_attention.migrate.matching import Fill, Variable, check_built, load, same


def load_keras_attention(layer: Any, variables: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Loads what was trained with Keras' own layer, or nothing if it does not fit.

    | theirs | ours |
    |---|---|
    | `MultiHeadAttention(H, D)` | `MultiHeadCrossAttention(H, D)`, `MultiHeadSelfAttention(H, D)` |
    | `GroupQueryAttention(D, H, K)` | the same with `num_key_value_heads=K` |

    Example:

    ```python
    theirs = keras.layers.MultiHeadAttention(4, 16)
    theirs.build((None, None, 64), (None, None, 64))
    ours = MultiHeadCrossAttention(4, 16)
    ours.build((None, None, 64), (None, None, 64))
    load_keras_attention(ours, {weight.path: weight.numpy() for weight in theirs.weights})
    ```

    Args:
        layer: `MultiHeadCrossAttention` or `MultiHeadSelfAttention`, built.
        variables: a mapping from names to arrays; the names end in `query/kernel`, `query/bias`,
            `key/kernel` and so on, and in `attention_output/kernel`.

    Returns:
        A dict from each name to the paths of the weights that it filled, as a tuple.

    Raises:
        ValueError: a variable is missing, there twice, not expected, or of another shape; the
            layer is another one, has what theirs has not, or is not built. Then no weight has
            changed.
    """
    check_built(layer=layer)
    if not isinstance(layer, MultiHeadCrossAttention | MultiHeadSelfAttention) or (
        layer.qk_norm or layer.sinks or layer.rotary is not None or layer.position_bias is not None
    ):
        raise ValueError(
            "Expected MultiHeadCrossAttention or MultiHeadSelfAttention without norms, sinks, "
            f"rotary and position_bias. Received: layer={layer!r}"
        )
    return load(list(_variables_of(layer)), variables)


def _variables_of(layer: Any) -> Iterator[Variable]:
    for name in ("query", "key", "value"):
        dense = getattr(layer, f"{name}_dense")
        yield same(dense.kernel, f"{name}/kernel")
        if layer.use_bias:
            shape = tuple(dense.bias.shape)
            bare = (shape[0], shape[-1])
            fill = Fill(dense.bias, _reshape(shape))
            yield Variable((f"{name}/bias",), bare, (fill,))
    yield same(layer.output_dense.kernel, "attention_output/kernel")
    if layer.use_bias:
        yield same(layer.output_dense.bias, "attention_output/bias")


def _reshape(shape: tuple[int, ...]) -> Callable[[Any], Any]:
    return lambda x: x.reshape(shape)
