"""The formulas of the papers in NumPy, float64, one query and one key at a time.

Slow and plain on purpose: nothing here shares a line, a trick or an axis with the library.
"""

import numpy as np


def softmax(scores, visible=None):
    """Of one row of scores; positions that are not visible do not exist."""
    scores = np.asarray(scores, "float64")
    visible = np.ones(len(scores), bool) if visible is None else visible
    weights = np.zeros(len(scores))
    if visible.any():
        e = np.exp(scores[visible] - scores[visible].max())
        weights[visible] = e / e.sum()
    return weights


def attend(score, query, key, value, mask=None):
    """Context and weights of every query: `score` is a function of one query and one key.

    Args:
        score: function of `q (Dq,)` and `k (Dk,)`, or of them and the key's position.
        query, key, value: `(B, T, D)`.
        mask: `(B, Tq, Tv)`, True = may be attended to.
    """
    query, key, value = (np.asarray(x, "float64") for x in (query, key, value))
    batch, query_length, value_length = query.shape[0], query.shape[1], value.shape[1]
    weights = np.zeros((batch, query_length, value_length))
    context = np.zeros((batch, query_length, value.shape[-1]))
    for b in range(batch):
        for t in range(query_length):
            scores = [score(query[b, t], key[b, s], s) for s in range(value_length)]
            weights[b, t] = softmax(scores, None if mask is None else mask[b, t])
            for s in range(value_length):
                context[b, t] += weights[b, t, s] * value[b, s]
    return context, weights


def bahdanau(w, u, v):
    """Bahdanau et al., A.1.2: `v . tanh(W q + U k)`."""
    return lambda q, k, s: v @ np.tanh(q @ w + k @ u)


def bahdanau_normalized(w, u, v, g, b):
    """`g v / |v| . tanh(W q + U k + b)`: Salimans and Kingma, as in TensorFlow Addons."""
    return lambda q, k, s: g * (v / np.sqrt(np.sum(v**2))) @ np.tanh(q @ w + k @ u + b)


def luong_dot():
    """Luong et al., equation 8, first line."""
    return lambda q, k, s: q @ k


def luong_general(w):
    """Second line: `q . W k`."""
    return lambda q, k, s: q @ (k @ w)


def luong_concat(w, v):
    """Third line: `v . tanh(W [q; k])`."""
    return lambda q, k, s: v @ np.tanh(np.concatenate([q, k]) @ w)


def luong_location(w):
    """Equation 7: `softmax(W q)`, entry s for position s."""
    return lambda q, k, s: (q @ w)[s]


def multi_head(query, key, value, weights, mask=None):
    """Vaswani et al., section 3.2.2, head by head.

    Args:
        weights: `(w, b)` of query, key and value, `(D, H, K)` and `(H, K)`, and of the output,
            `(H, K, D)` and `(D,)`.
        mask: `(B, Tq, Tv)` or `(B, H, Tq, Tv)`.

    Returns:
        Output `(B, Tq, D)` and weights `(B, H, Tq, Tv)`.
    """
    (wq, bq), (wk, bk), (wv, bv), (wo, bo) = weights
    output, all_weights = bo, []
    for h in range(wq.shape[1]):
        q = query @ wq[:, h] + bq[h]
        k = key @ wk[:, h] + bk[h]
        v = value @ wv[:, h] + bv[h]
        by_head = mask if mask is None or mask.ndim == 3 else mask[:, h]
        scaled = lambda a, b, s, size=q.shape[-1]: a @ b / np.sqrt(size)  # noqa: E731
        context, weights_of_head = attend(scaled, q, k, v, by_head)
        output = output + context @ wo[h]
        all_weights.append(weights_of_head)
    return output, np.stack(all_weights, axis=1)


def dot_product(
    query, key, value, mask=None, bias=None, causal=False, window=None, soft_cap=None, sinks=None
):
    """Heads that share keys, row by row: `softmax(c tanh(q . k / c) + bias)` of what is seen.

    Args:
        query: `(B, H, Tq, D)`; key, value: `(B, K, Tv, D)`.
        mask, bias: broadcastable to `(B, H, Tq, Tv)`.
        sinks: `(H,)`, one more score, of no value.

    Returns:
        Context `(B, H, Tq, Dv)` and weights `(B, H, Tq, Tv)`.
    """
    query, key, value = (np.asarray(x, "float64") for x in (query, key, value))
    (batch, heads, query_length, _), value_length = query.shape, key.shape[2]
    shape = (batch, heads, query_length, value_length)
    mask = np.broadcast_to(True if mask is None else mask, shape)
    bias = np.broadcast_to(0.0 if bias is None else np.asarray(bias, "float64"), shape)
    weights, context = np.zeros(shape), np.zeros((*shape[:3], value.shape[-1]))
    for b, h, t in np.ndindex(*shape[:3]):
        shared = h * key.shape[1] // heads
        position = t + value_length - query_length
        seen = mask[b, h, t].copy()
        for s in range(value_length):
            if causal and s > position or window is not None and abs(s - position) >= window:
                seen[s] = False
        scores = key[b, shared] @ query[b, h, t]
        if soft_cap is not None:
            scores = soft_cap * np.tanh(scores / soft_cap)
        scores = scores + bias[b, h, t]
        if sinks is None:
            weights[b, h, t] = softmax(scores, seen)
        else:
            with_sink = softmax([*scores, sinks[h]], np.append(seen, True))
            weights[b, h, t] = with_sink[:-1]
        context[b, h, t] = weights[b, h, t] @ value[b, shared]
    return context, weights


def simplex(scores, alpha, visible=None):
    """sparsemax (alpha 2) and entmax (alpha 1.5) of one row, the threshold by bisection."""
    scores = np.asarray(scores, "float64")
    visible = np.ones(len(scores), bool) if visible is None else visible
    weights = np.zeros(len(scores))
    if visible.any():
        z = scores[visible] * (alpha - 1)
        low, high = z.max() - 1, z.max()
        for _ in range(200):
            middle = (low + high) / 2
            total = (np.maximum(z - middle, 0) ** (1 / (alpha - 1))).sum()
            low, high = (middle, high) if total > 1 else (low, middle)
        weights[visible] = np.maximum(z - low, 0) ** (1 / (alpha - 1))
    return weights


def monotonic(scores, visible=None, hard=False, previous=None):
    """Raffel et al., equation 8, or algorithm 1 if hard; one sequence `(Tq, Tv)`.

    A query that may attend to nothing leaves the reader where he is.
    """
    scores = np.asarray(scores, "float64")
    visible = np.ones(scores.shape, bool) if visible is None else visible
    if previous is None:
        previous = np.zeros(scores.shape[1])
        previous[0] = 1
    rows = []
    for row, seen in zip(scores, visible, strict=True):
        p = np.where(seen, 1 / (1 + np.exp(-row)), 0.0)
        if hard:
            p = (p > 0.5).astype("float64")
        alpha = np.zeros(len(p))
        for j in range(len(p)):
            for k in range(j + 1):
                alpha[j] += p[j] * previous[k] * np.prod(1 - p[k:j])
        rows.append(alpha)
        previous = alpha if seen.any() else previous
    return np.array(rows)


def chunkwise(alignment, scores, size, visible=None):
    """Chiu and Raffel, equation 17; one query."""
    visible = np.ones(len(scores), bool) if visible is None else visible
    found = np.zeros(len(scores))
    for k in range(len(scores)):
        chunk = np.zeros(len(scores), bool)
        chunk[max(0, k - size + 1) : k + 1] = True
        found += alignment[k] * softmax(scores, chunk & visible)
    return found
