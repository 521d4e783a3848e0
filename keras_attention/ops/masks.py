"""Boolean masks. True = may be attended to, everywhere."""

from keras import ops


def causal_mask(query_length, value_length):
    """Mask `(Tq, Tv)` that lets each query see its own position and those before it.

    Aligned to the end: the last query sees every value, so a single query against a cache of S
    values sees all S. Lengths may be integers or scalar tensors.
    """
    rows = ops.arange(query_length)[:, None]
    columns = ops.arange(value_length)[None, :]
    return columns <= rows + (value_length - query_length)


def combine_masks(value_mask=None, attention_mask=None, causal=None):
    """One mask that broadcasts to scores `(B, Tq, Tv)`, or None if everything may be seen.

    Args:
        value_mask: `(B, Tv)`, which values are no padding.
        attention_mask: `(B, Tq, Tv)` or `(Tq, Tv)`, which query may see which value.
        causal: `(Tq, Tv)`, see `causal_mask`.
    """
    mask = None if value_mask is None else ops.cast(value_mask, "bool")[:, None, :]
    for other in (attention_mask, causal):
        if other is None:
            continue
        other = ops.cast(other, "bool")
        other = other if len(other.shape) >= 3 else other[None]
        mask = other if mask is None else ops.logical_and(mask, other)
    return mask


def visible(mask):
    """Which values any query may see: `(..., Tq, Tv)` to `(..., Tv)`."""
    return ops.any(mask, axis=-2)


def blank(x, mask):
    """`x (B, T, D)` with zeros where `mask (B, T)` is False.

    A weight of 0 is not enough to keep a masked position out: 0 * NaN is NaN, in the context and
    in the gradients of every projection the position goes through. So it is taken out up front.
    """
    return ops.where(mask[..., None], x, ops.zeros((), dtype=x.dtype))


def split_nonfinite(x):
    """`x (..., T, D)` without its infinities and NaNs, and which steps `(..., T)` had any."""
    finite = ops.isfinite(x)
    clean = ops.where(finite, x, ops.zeros((), dtype=x.dtype))
    return clean, ops.logical_not(ops.all(finite, axis=-1))
