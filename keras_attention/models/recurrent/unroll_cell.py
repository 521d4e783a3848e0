"""The loop of an attention cell over all steps of its inputs."""

from typing import Any

import keras
from keras import ops

from keras_attention._types import Tensor
from keras_attention.layers.unroll import pack, unroll
from keras_attention.models.recurrent.step_noise import one_step, sample, steps_first


def unroll_cell(
    layer: Any,
    inputs: Tensor,
    state: Any,
    memory: Tensor,
    choose: Any = None,
    extras: Any = (),
    training: bool | None = None,
) -> tuple[Any, Any, Any]:
    """Every step of `layer`, an `AttentionCell`; arguments and returns are those of its `unroll`.

    What a step needs travels in one row, and what it puts out in another: the inputs, what `choose`
    gets, and dropout masks and noise of the attentions, drawn before the loop.
    """
    steps = ops.shape(inputs)[1]
    keys = [key for key, _, _ in memory]
    draws = [sample(a, steps, key, training) for a, key in zip(layer.attentions, keys, strict=True)]
    drawn = [steps_first(x) for pair in draws for x in pair if x is not None]
    rows, unpack = pack([inputs, *extras, *drawn], inputs)
    flat = keras.tree.flatten(state)
    kinds = [keras.backend.standardize_dtype(x.dtype) for x in flat]
    previous = ops.zeros((ops.shape(inputs)[0], layer.features_dim), dtype=rows.dtype)

    def advance(row: Tensor, states: Any) -> tuple[Any, Any]:
        previous, *flat = states
        parts = unpack(row)
        x, given = parts[0], parts[1 : 1 + len(extras)]
        left = iter(parts[1 + len(extras) :])
        own = [[None if x is None else one_step(next(left), x) for x in pair] for pair in draws]
        if choose is not None:
            x = choose(x, ops.cast(previous, x.dtype), *given)
        flat = [ops.cast(s, kind) for s, kind in zip(flat, kinds, strict=True)]
        nested = keras.tree.pack_sequence_as(state, flat)
        output, following, weights = layer.step(x, nested, memory, own, training)
        wide = [ops.cast(y, rows.dtype) for y in [output, *keras.tree.flatten(weights)]]
        carried = [ops.cast(s, rows.dtype) for s in keras.tree.flatten(following)]
        return ops.concatenate(wide, axis=-1), [wide[0], *carried]

    carried = [previous, *(ops.cast(x, rows.dtype) for x in flat)]
    dropped = _cells_with_dropout(layer.cell) if training else []
    if dropped:
        # Keras' cells draw one mask for all steps in their first call: not inside the loop.
        advance(rows[:, 0], carried)
    together, (_, *flat) = unroll(advance, rows, carried)
    for cell in dropped:
        cell.reset_dropout_mask()
        cell.reset_recurrent_dropout_mask()
    flat = [ops.cast(x, kind) for x, kind in zip(flat, kinds, strict=True)]
    together = ops.cast(together, layer.compute_dtype)
    outputs, start, weights = together[..., : layer.features_dim], layer.features_dim, []
    # Beside weights of unknown length, the known size is lost: layers that follow need it.
    outputs = ops.reshape(outputs, (*ops.shape(inputs)[:2], layer.features_dim))
    for key in keys:
        end = start + ops.shape(key)[-2]
        weights.append(together[..., start:end])
        start = end
    weights = weights if layer.is_list else weights[0]
    return outputs, weights, keras.tree.pack_sequence_as(state, flat)


def _cells_with_dropout(cell: Any) -> Any:
    cells = getattr(cell, "cells", [cell])
    return [c for c in cells if getattr(c, "dropout", 0) or getattr(c, "recurrent_dropout", 0)]
