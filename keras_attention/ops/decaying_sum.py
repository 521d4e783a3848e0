"""The recurrence y_j = a_j y_{j-1} + x_j, all steps at once."""

from keras import ops

from keras_attention._conversion import traced_for_conversion
from keras_attention._types import Tensor
from keras_attention.ops.precision import as_float

BLOCK = 16
# Blocks of blocks of ... blocks, where the length is not known: 16 ** 5 steps are enough.
DEPTH = 5


def decaying_sum(log_decay: Tensor, x: Tensor) -> Tensor:
    """`y_j = exp(log_decay_j) y_{j-1} + x_j` along the last axis, with y = 0 before the first.

    An associative scan in blocks: the sums inside a block by one product with its triangle of
    decays, what goes from block to block by the same recurrence over the blocks. No division and
    no difference of large sums, so no step is lost however far the decay goes: the error is a few
    roundings, at any length. Work and memory are `BLOCK` times the length.

    Args:
        log_decay: `(..., T)`, at most 0; `-inf` is not allowed, -1e4 is 0 as well.
        x: `(..., T)`.

    Returns:
        y `(..., T)`.
    """
    log_decay, x = as_float(log_decay), as_float(x)
    if traced_for_conversion():  # one block: blocks of blocks are more than converters follow
        return _in_blocks(log_decay, x)
    return _scan(log_decay, x, DEPTH)


def _scan(log_decay: Tensor, x: Tensor, depth: Tensor) -> Tensor:
    length = ops.shape(x)[-1]
    leading = ops.shape(x)[:-1]
    blocks = -(-length // BLOCK)
    padding = [[0, 0]] * len(leading) + [[0, blocks * BLOCK - length]]
    shape = (*leading, blocks, BLOCK)
    log_decay = ops.reshape(ops.pad(log_decay, padding), shape)
    x = ops.reshape(ops.pad(x, padding), shape)
    inside = _in_blocks(log_decay, x)
    if depth > 1 and not (isinstance(blocks, int) and blocks <= 1):
        since_start = ops.cumsum(log_decay, axis=-1)
        ends = _scan(since_start[..., -1], inside[..., -1], depth - 1)
        before = ops.pad(ends, [[0, 0]] * len(leading) + [[1, 0]])[..., :-1]
        inside = inside + ops.exp(since_start) * ops.expand_dims(before, -1)
    return ops.reshape(inside, (*leading, blocks * BLOCK))[..., :length]


def _in_blocks(log_decay: Tensor, x: Tensor) -> Tensor:
    """The recurrence along the last axis alone, work in proportion to its square."""
    steps = ops.arange(ops.shape(x)[-1])
    later = ops.expand_dims(steps, 0) > ops.expand_dims(steps, 1)
    reached = ops.expand_dims(steps, 0) >= ops.expand_dims(steps, 1)
    # From step k to step j of a block: the decays after k, summed up from k on.
    from_to = ops.cumsum(ops.where(later, ops.expand_dims(log_decay, -2), 0.0), axis=-1)
    decays = ops.where(reached, ops.exp(from_to), 0.0)
    return ops.sum(ops.expand_dims(x, -1) * decays, axis=-2)
