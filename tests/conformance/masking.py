"""What the properties about masks share: masks of every kind and what they must do to weights."""

import numpy as np
from keras import ops

from tests.arrays import as_float64
from tests.conformance.cases import TQ, TV, B

NAN = float("nan")
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def call(layer, inputs, **kwargs):
    outputs = layer(**inputs, return_attention_scores=True, **kwargs)
    return [as_float64(output) for output in outputs]


def steps_of_values(case):
    return TV if case.is_cross else TQ


def value_mask(case, hidden=2):
    """The last `hidden` steps of the first sequence, and the very last of the second."""
    mask = np.ones((B, steps_of_values(case)), bool)
    mask[0, -hidden:] = False
    mask[1, -1] = False
    return mask


def mask_by_name(case, mask):
    """A mask of the values as the one argument for it."""
    return {case.mask_names[1]: mask}


def fill(case, inputs, mask, content):
    """The inputs with `content` where the mask of the values is False."""
    filled = {name: x.copy() for name, x in inputs.items()}
    for name in filled:
        if name != "query" or not case.is_cross:
            filled[name][~mask] = content
    return filled


def renormalized(weights, mask):
    """What weights without a mask become under one: a softmax over fewer terms."""
    kept = weights * mask
    total = kept.sum(-1, keepdims=True)
    return np.divide(kept, total, out=np.zeros_like(kept), where=total > 0)


def weights_under(case, layer, inputs, mask):
    """What the weights of a call must be under a mask `(B, Tq, Tv)`, from calls without it.

    Each query by itself, under a padding mask; the queries of layers with a state in turn.
    """
    mask = np.broadcast_to(mask, (B, *mask.shape[-2:]))
    if case.is_softmax:
        return renormalized(call(layer, inputs)[1], over_weights(case, mask))
    rows = []
    if case.is_stateful:
        arrays = [inputs.get("key", inputs["value"]), inputs["value"]]
        key, value = (ops.convert_to_tensor(x) for x in arrays)
        key, state = layer.project_key(key), None
        state = layer.initial_state((key, value))
        for t in range(mask.shape[1]):
            query = ops.convert_to_tensor(inputs["query"][:, t])
            memory = key, value, ops.convert_to_tensor(mask[:, t : t + 1])
            _, state, weights = layer.step(query, state, memory)
            rows.append(as_float64(weights))
    for t in range(0 if case.is_stateful else mask.shape[1]):
        one = {**inputs, "query": inputs["query"][:, t : t + 1]}
        rows.append(call(layer, one, value_mask=mask[:, t])[1][..., 0, :])
    return np.stack(rows, axis=-2)


def over_weights(case, mask):
    """A mask `(B, Tq, Tv)` or `(B, Tv)` with the rank of the weights."""
    if case.is_pooling:
        return mask
    mask = mask[:, None] if mask.ndim == 2 else mask
    return mask if case.heads is None else mask[:, None]
