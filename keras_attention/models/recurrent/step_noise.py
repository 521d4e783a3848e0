"""Random numbers of attention in training, step by step: dropout masks and noise."""

from typing import Any

from keras import ops

from keras_attention._types import Tensor


def sample(attention: Any, steps: Any, key: Tensor, training: bool | None) -> tuple[Any, Any]:
    """Dropout mask and noise of an attention for all steps, each None where there is none.

    Drawn here and not in the loop over the steps, in which the state of a generator must not
    change.

    Args:
        attention: an attention layer of this package.
        steps: number of queries.
        key: the projected key.
        training: whether anything is drawn.
    """
    if not training:
        return None, None
    dropout_mask = attention.sample_dropout(steps, key) if attention.dropout > 0 else None
    return dropout_mask, attention.sample_noise(steps, key)


def steps_first(drawn: Tensor) -> Any:
    """`(B, T, Tv)`, or `(B, H, T, Tv)` with heads, as one row `(B, T, n)` for each step."""
    if len(drawn.shape) == 3:
        return drawn
    batch, heads, steps, length = ops.shape(drawn)
    return ops.reshape(ops.transpose(drawn, (0, 2, 1, 3)), (batch, steps, heads * length))


def one_step(row: Tensor, drawn: Tensor) -> Any:
    """A row of `steps_first(drawn)` as the draw of a single query."""
    if len(drawn.shape) == 3:
        return row[:, None]
    batch, heads, _, length = ops.shape(drawn)
    return ops.reshape(row, (batch, heads, 1, length))
