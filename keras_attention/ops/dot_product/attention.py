"""Attention by dot products, in the form that fits the call."""

from typing import Any

import keras
from keras import ops

from keras_attention._conversion import traced_for_conversion
from keras_attention._types import Tensor
from keras_attention.ops.masks import combine_masks, hiding_bias, sliding_window_mask
from keras_attention.ops.nonfinite import nan_where, nan_where_seen, take_out_nonfinite
from keras_attention.ops.precision import as_float
from keras_attention.ops.probability import PROBABILITIES
from keras_attention.ops.scores import dot_scores
from keras_attention.ops.softmax import HIDDEN, softmax_of_finite
from keras_attention.ops.weighted_sum import weighted_sum

# Scores of 32 MB in float32: with fewer, blocks save little memory and cost time.
_FEW_SCORES = 8 * 1024 * 1024


def dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    causal: bool = False,
    window: int | None = None,
    soft_cap: float | None = None,
    sinks: Any = None,
    dropout: float = 0.0,
    seed: Any = None,
    dropout_mask: Tensor | None = None,
    return_weights: bool = False,
    probability: str = "softmax",
    noise: Tensor | None = None,
) -> Tensor:
    """`softmax(q . k + bias) v` in every head: with masks, and with memory that grows as it must.

    The scores are `q . k` as it is: scale the query, before the product, as float16 needs it. H
    query heads share K heads of key and value, H / K each (H = K: one each; K = 1: one for all);
    heads 0 to H / K - 1 share the first. Keys and values are never repeated.

    Unless the weights are asked for, no tensor has a size of Tq times Tv: on TensorFlow blocks of
    scores come and go, and their gradients compute them again; JAX and PyTorch have
    `keras.ops.dot_product_attention`, with a fused kernel where there is one, for calls without
    dropout, bias, soft cap, sinks and shared heads, and the plain form for the rest.

    Masking: True = may be attended to. A bias of minus infinity, or of `finfo.min` of its dtype,
    hides as well. A query with nothing to attend to gets context 0 and finite
    gradients. A NaN or an infinity in a key or value that only some queries may see makes the
    context of those NaN, and reaches no other. What none may see must be finite: call `zero_masked`
    before whatever projects it.

    Example:

    ```python
    query = ops.ones((2, 8, 5, 64)) / 8
    key = value = ops.ones((2, 2, 7, 64))
    context = dot_product_attention(query, key, value, causal=True)  # (2, 8, 5, 64)
    ```

    Args:
        query: `(B, H, Tq, D)`.
        key: `(B, K, Tv, D)`; H is a multiple of K.
        value: `(B, K, Tv, Dv)`.
        mask: boolean, broadcastable to `(B, H, Tq, Tv)`, of rank 4.
        bias: float, broadcastable likewise: what is added to the scores.
        causal: whether a query sees no later positions than its own, the last query having the
            position of the last value.
        window: how many positions a query sees at most on each side, its own counted: those with
            `|position of query - position of value| < window`. With `causal` these are the last
            `window` positions. None for all.
        soft_cap: positive number c that keeps `q . k` within -c and c, as `c tanh(q . k / c)`. The
            bias is added after it. None for no cap.
        sinks: `(H,)`, one more score for each head, that of a value of 0: weights may sum to less
            than 1.
        dropout: fraction of the weights dropped; the others are scaled up.
        seed: `keras.random.SeedGenerator` or integer, for `dropout`.
        dropout_mask: instead of `dropout`: factors for the weights, `(B, H, Tq, Tv)`.
        return_weights: whether to return the weights too, those before dropout.
        probability: what makes weights of scores, a name among `keras_attention.ops.PROBABILITIES`.
            All but the softmax take the plain form.
        noise: `(B, H, Tq, Tv)`, for the probability `"gumbel"` in training.

    Returns:
        Context `(B, H, Tq, Dv)` in the dtype of `value`; with `return_weights` also the weights
        `(B, H, Tq, Tv)`, float32 at least. Scores and softmax are float32 at least.

    Raises:
        ValueError: an input, mask or bias is not of rank 4; H is no multiple of K; `window` or
            `soft_cap` is not positive; unknown `probability`; `sinks` without the softmax.

    References: Vaswani et al., 2017, https://arxiv.org/abs/1706.03762, equation 1; shared heads:
    Ainslie et al., 2023, https://arxiv.org/abs/2305.13245; soft cap: Gemma Team, 2024,
    https://arxiv.org/abs/2408.00118, section 2; sinks: Xiao et al., 2024,
    https://arxiv.org/abs/2309.17453, section 3.2, here learned and in each head.
    """
    _check(query, key, value, mask, bias, window, soft_cap, sinks, probability)
    query, key, value = (as_float(x) for x in (query, key, value))
    bias = None if bias is None else hiding_bias(bias)
    mask = None if mask is None else ops.cast(mask, "bool")
    by_position = causal or window is not None
    key, value, nonfinite = take_out_nonfinite(key, value, mask, by_position)
    form = _form_for(
        query, key, value, bias, soft_cap, sinks, dropout, dropout_mask, return_weights, probability
    )
    if form == "blocked":
        from keras_attention.ops.dot_product.blocked_tensorflow import blocked_attention

        return blocked_attention(
            query,
            key,
            value,
            mask,
            bias,
            None if sinks is None else ops.convert_to_tensor(sinks),
            nonfinite.either(),
            _draw(seed) if dropout else None,
            causal=causal,
            window=window,
            soft_cap=soft_cap,
            dropout=dropout,
        )
    query_length, value_length = ops.shape(query)[2], ops.shape(key)[2]
    if by_position:
        within = ops.expand_dims(
            sliding_window_mask(query_length, value_length, causal, window), (0, 1)
        )
        mask = combine_masks(attention_mask=mask, causal=within)
    if form == "fused":
        context, weights = _fused(query, key, value, mask), None
        nonfinite_value = nonfinite.either()
    else:
        if dropout:
            shape = (*ops.shape(query)[:3], value_length)
            ones = ops.ones(shape, dtype="float32")
            dropout_mask = keras.random.dropout(ones, dropout, seed=seed)
        context, weights = _plain(
            query,
            key,
            value,
            mask,
            bias,
            soft_cap,
            sinks,
            dropout_mask,
            _for_heads(nonfinite.key, query),
            probability,
            noise,
        )
        nonfinite_value = nonfinite.value
    context = nan_where_seen(context, _for_heads(nonfinite_value, query), mask)
    return (context, weights) if return_weights else context


def _form_for(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor,
    soft_cap: float | None,
    sinks: Any,
    dropout: float,
    dropout_mask: Tensor,
    return_weights: bool,
    probability: str,
) -> str:
    """The one place that decides: `"plain"`, `"blocked"` (TensorFlow) or `"fused"` (the others)."""
    if return_weights or dropout_mask is not None or probability != "softmax":
        return "plain"
    if query.shape[2] == 1:  # a step of a decoder
        return "plain"
    if keras.backend.backend() == "tensorflow":
        sizes = (*query.shape[:3], key.shape[2])
        few = None not in sizes and sizes[0] * sizes[1] * sizes[2] * sizes[3] <= _FEW_SCORES
        return "plain" if few or traced_for_conversion() else "blocked"
    # Keras would repeat keys that are shared on PyTorch, and takes one size of features on JAX.
    fits = query.shape[1] == key.shape[1] and key.shape[-1] == value.shape[-1]
    if dropout or bias is not None or soft_cap or sinks is not None or not fits:
        return "plain"
    return "fused"


def _plain(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    bias: Tensor,
    soft_cap: float | None,
    sinks: Any,
    dropout_mask: Tensor,
    nonfinite_key: Tensor,
    probability: str,
    noise: Tensor,
) -> tuple[Any, Any]:
    scores = _by_head(dot_scores(_by_key(query, key), key), query)
    if soft_cap:
        scores = soft_cap * ops.tanh(scores / soft_cap)
    if bias is not None:
        bias = ops.cast(bias, scores.dtype)
        scores = scores + bias
        shown = ops.logical_not(bias <= HIDDEN)
        mask = shown if mask is None else ops.logical_and(mask, shown)
    scores = nan_where(scores, nonfinite_key)
    if sinks is not None:
        weights = _softmax_with_sinks(scores, mask, sinks)
    elif probability == "softmax":  # of which there is one for scores that hide nothing
        weights = softmax_of_finite(scores, mask)
    else:
        weights = PROBABILITIES[probability](scores, mask, *([] if noise is None else [noise]))
    kept = weights if dropout_mask is None else weights * dropout_mask
    return _by_head(weighted_sum(_by_key(kept, key), value), query), weights


def _softmax_with_sinks(scores: Tensor, mask: Tensor, sinks: Any) -> Tensor:
    column = ops.zeros_like(scores[..., :1])
    sinks = ops.expand_dims(ops.cast(sinks, scores.dtype), (1, 2)) + column
    if mask is not None:
        mask = ops.logical_and(mask, ops.ones_like(scores, dtype="bool"))
        mask = ops.concatenate([mask, ops.ones_like(column, dtype="bool")], axis=-1)
    return softmax_of_finite(ops.concatenate([scores, sinks], axis=-1), mask)[..., :-1]


def _fused(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    steps_first = (0, 2, 1, 3)
    query, key, value = (ops.transpose(x, steps_first) for x in (query, key, value))
    context = ops.dot_product_attention(query, key, value, mask=mask, scale=1.0)
    context = ops.transpose(context, steps_first)
    if mask is None:
        return context
    # Where nothing may be seen, these kernels give the mean of what is hidden.
    return ops.where(ops.any(mask, axis=-1, keepdims=True), context, 0.0)


def _draw(seed: Any) -> Tensor:
    """Two integers, new ones each time that a generator is asked."""
    if isinstance(seed, keras.random.SeedGenerator):
        return ops.cast(seed.next(), "int32")
    return ops.convert_to_tensor([seed, 0], dtype="int32")


def _by_key(x: Tensor, key: Tensor) -> Tensor:
    """`(B, H, Tq, D)` to `(B, K, H / K * Tq, D)`: one product for all heads that share a key."""
    if x.shape[1] == key.shape[1]:
        return x
    batch, heads, length, features = ops.shape(x)
    shared = heads // key.shape[1]
    return ops.reshape(x, (batch, key.shape[1], shared * length, features))


def _by_head(x: Tensor, query: Tensor) -> Tensor:
    """Back from `_by_key`, to the heads of `query`."""
    if x.shape[1] == query.shape[1]:
        return x
    batch, heads, length, _ = ops.shape(query)
    return ops.reshape(x, (batch, heads, length, ops.shape(x)[-1]))


def _for_heads(x: Tensor, query: Tensor) -> Tensor:
    """`(B, K, Tv)` to `(B, H, Tv)`; None stays None."""
    if x is None:
        return None
    return ops.repeat(x, query.shape[1] // x.shape[1], axis=1)


def _check(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    bias: Tensor,
    window: int | None,
    soft_cap: float | None,
    sinks: Any,
    probability: str,
) -> None:
    named = {"query": query, "key": key, "value": value, "mask": mask, "bias": bias}
    for name, x in named.items():
        if x is not None and len(x.shape) != 4:
            raise ValueError(
                f"Expected {name} of rank 4, (batch, heads, steps, ...). "
                f"Received: {name}.shape={tuple(x.shape)}"
            )
    if key.shape[1] != value.shape[1] or query.shape[1] % key.shape[1]:
        raise ValueError(
            "Expected as many heads of value as of key, and of query a multiple of it. "
            f"Received: query.shape={tuple(query.shape)}, key.shape={tuple(key.shape)}, "
            f"value.shape={tuple(value.shape)}"
        )
    if probability not in PROBABILITIES:
        raise ValueError(
            f"Expected probability to be one of {tuple(PROBABILITIES)}. "
            f"Received: probability={probability!r}"
        )
    if sinks is not None and probability != "softmax":
        raise ValueError(
            'Expected sinks with the probability "softmax" only. '
            f"Received: probability={probability!r}"
        )
    for name, number in {"window": window, "soft_cap": soft_cap}.items():
        if number is not None and not number > 0:
            raise ValueError(f"Expected {name} > 0 or None. Received: {name}={number}")
