"""From PyTorch's `torch.nn`: multi-head attention and the layers of its Transformer."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from keras_attention._types import Tensor
from keras_attention.layers import (
    MultiHeadCrossAttention,
    MultiHeadSelfAttention,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
)
from keras_attention.migrate.matching import Fill, Variable, check_built, load
from keras_attention.models import TransformerSeq2Seq


def load_torch(layer: Any, variables: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Loads what was trained with PyTorch, or nothing if it does not fit.

    | theirs | ours |
    |---|---|
    | `MultiheadAttention(E, H)` | `MultiHeadSelfAttention(H, E // H)`, `MultiHeadCrossAttention` |
    | `TransformerEncoderLayer(E, H, F)` | `TransformerEncoderBlock(H, E // H, F, norm="post")` |
    | `TransformerDecoderLayer(E, H, F)` | `TransformerDecoderBlock(H, E // H, F, norm="post")` |
    | `Transformer(E, H, ..., norm_first=True)` | the blocks of a `TransformerSeq2Seq` |

    `norm_first=True` is `norm="pre"`; `bias=False` of an attention is `use_bias=False`, and `kdim`
    and `vdim` are sizes of the inputs. Their `layer_norm_eps`, 1e-5, is `norm_epsilon`, and their
    masks say what may *not* be attended to. A `Transformer` has neither embeddings nor output
    weights, so those of the `TransformerSeq2Seq` stay as they are; without `norm_first` it has a
    norm after the last norm, which has no counterpart here.

    Example:

    ```python
    block = TransformerEncoderBlock(4, 16, 256, norm="post")
    block.build((None, None, 64))
    state = {name: x.numpy() for name, x in torch_layer.state_dict().items()}
    load_torch(block, state)
    ```

    Args:
        layer: a layer or model of this package as the table says, built.
        variables: a mapping from names to arrays, as `state_dict` has them.

    Returns:
        A dict from each name to the paths of the weights that it filled, as a tuple.

    Raises:
        ValueError: a variable is missing, not expected, or of another shape; the layer has no
            counterpart there, or is not built. Then no weight has changed.
    """
    check_built(layer=layer)
    # Names of theirs have dots where `matching` has slashes.
    names = {name: name.replace(".", "/") for name in variables}
    filled = load(
        list(_variables_of(layer)), {names[name]: array for name, array in variables.items()}
    )
    return {name: filled[path] for name, path in names.items()}


def _variables_of(layer: Any) -> Any:
    if isinstance(layer, MultiHeadSelfAttention | MultiHeadCrossAttention):
        return _attention(layer, "")
    if isinstance(layer, TransformerEncoderBlock):
        return _encoder_block(layer, "")
    if isinstance(layer, TransformerDecoderBlock) and layer.reads_memory:
        return _decoder_block(layer, "")
    if isinstance(layer, TransformerSeq2Seq) and layer.encoder.norm == "pre":
        return _model(layer)
    raise ValueError(
        "Expected an attention with heads, a TransformerEncoderBlock, a TransformerDecoderBlock "
        f"that reads a memory, or a TransformerSeq2Seq with norm='pre'. Received: {layer!r}"
    )


def _model(model: Any) -> Iterator[Variable]:
    for i, block in enumerate(model.encoder.blocks):
        yield from _encoder_block(block, f"encoder/layers/{i}/")
    yield from _norm(model.encoder.last_norm, "encoder/norm")
    for i, block in enumerate(model.decoder.blocks):
        yield from _decoder_block(block, f"decoder/layers/{i}/")
    yield from _norm(model.decoder.last_norm, "decoder/norm")


def _encoder_block(block: Any, within: str) -> Iterator[Variable]:
    yield from _attention(block.self_attention, f"{within}self_attn/")
    yield from _feedforward(block, within)
    yield from _norm(block.self_attention_norm, f"{within}norm1")
    yield from _norm(block.feedforward_norm, f"{within}norm2")


def _decoder_block(block: Any, within: str) -> Iterator[Variable]:
    yield from _attention(block.self_attention, f"{within}self_attn/")
    yield from _attention(block.cross_attention, f"{within}multihead_attn/")
    yield from _feedforward(block, within)
    yield from _norm(block.self_attention_norm, f"{within}norm1")
    yield from _norm(block.cross_attention_norm, f"{within}norm2")
    yield from _norm(block.feedforward_norm, f"{within}norm3")


def _attention(layer: Any, within: str) -> Iterator[Variable]:
    plain = not (layer.num_key_value_heads or layer.qk_norm or layer.sinks)
    if not plain or any(layer is not None for layer in (layer.rotary, layer.position_bias)):
        raise ValueError(
            "Expected an attention without shared heads, norms, sinks, rotary and position_bias, "
            f"which torch.nn does not have. Received: {layer!r}"
        )
    denses = (layer.query_dense, layer.key_dense, layer.value_dense)
    widths = [dense.kernel.shape[0] for dense in denses]
    size = layer.num_heads * layer.key_dim
    if widths == [size] * 3:
        # One matrix for query, key and value, one below the other.
        kernels = [Fill(dense.kernel, _rows(i, dense.kernel)) for i, dense in enumerate(denses)]
        yield Variable((f"{within}in_proj_weight",), (3 * size, size), tuple(kernels))
    else:
        for letter, dense, width in zip("qkv", denses, widths, strict=True):
            fill = Fill(dense.kernel, _rows(0, dense.kernel))
            yield Variable((f"{within}{letter}_proj_weight",), (size, width), (fill,))
    output = layer.output_dense
    width = output.kernel.shape[-1]
    fill = Fill(output.kernel, lambda x: x.T.reshape(output.kernel.shape))
    yield Variable((f"{within}out_proj/weight",), (width, size), (fill,))
    if layer.use_bias:
        biases = [Fill(dense.bias, _rows(i, dense.bias)) for i, dense in enumerate(denses)]
        yield Variable((f"{within}in_proj_bias",), (3 * size,), tuple(biases))
        yield Variable((f"{within}out_proj/bias",), (width,), (Fill(output.bias),))


def _rows(number: int, weight: Tensor) -> Callable[[Any], Any]:
    """The part of that number of a matrix or vector of theirs, in the shape of a weight of ours."""

    def convert(x: Tensor) -> Any:
        heads, dim = weight.shape[-2:] if len(weight.shape) == 3 else weight.shape
        if len(weight.shape) == 3 and x.ndim == 1:  # a bias (H, 1, K)
            heads, _, dim = weight.shape
        part = x[number * heads * dim : (number + 1) * heads * dim]
        return np.ascontiguousarray(part.T).reshape(weight.shape)

    return convert


def _feedforward(block: Any, within: str) -> Iterator[Variable]:
    for name, dense in {"linear1": block.expand, "linear2": block.contract}.items():
        shape = tuple(dense.kernel.shape)
        kernel = Fill(dense.kernel, np.transpose)
        yield Variable((f"{within}{name}/weight",), shape[::-1], (kernel,))
        yield Variable((f"{within}{name}/bias",), shape[-1:], (Fill(dense.bias),))


def _norm(norm: Any, name: str) -> Iterator[Variable]:
    shape = tuple(norm.gamma.shape)
    yield Variable((f"{name}/weight",), shape, (Fill(norm.gamma),))
    yield Variable((f"{name}/bias",), shape, (Fill(norm.beta),))
