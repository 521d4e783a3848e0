"""Functions of the log-probabilities `(B, W, V)` of what may follow W hypotheses of each example.

`ids (B, W, L)` are the tokens of the hypotheses, of which the first `t` count, and `end_id` is the
token after the last. Settings are numbers or tensors `(B,)`. The processor of a constraint takes
`(log_probabilities, ids, t, end_id, setting)`: see `constraint.py`.
"""

from typing import Any

from keras import ops

from keras_attention._types import Tensor
from keras_attention.decoding.settings import by_example

# What a forced token has at least, so that a hypothesis that the model holds for impossible lives.
LEAST = -1e9


def penalize_repetition(
    log_probabilities: Tensor, ids: Tensor, t: Tensor, end_id: int, penalty: Any
) -> Tensor:
    """Multiplies the log-probabilities of the tokens that a hypothesis holds by `penalty`."""
    before = ops.arange(ops.shape(ids)[-1], dtype="int32") < t
    used = _occurs(ids, ops.broadcast_to(before, ops.shape(ids)), log_probabilities)
    factor = ops.where(used, by_example(penalty, 3), 1.0)
    return log_probabilities * factor


def block_ngrams(
    log_probabilities: Tensor, ids: Tensor, t: Tensor, end_id: int, size: Any
) -> Tensor:
    """Forbids what would complete a sequence of `size` tokens that is there; 0 forbids nothing."""
    # More tokens than there are never occur twice: nothing to go through for a huge size.
    size = ops.minimum(by_example(size, 3, "int32"), ops.shape(ids)[-1] + 1)
    positions = ops.arange(ops.shape(ids)[-1], dtype="int32")
    # Position i is a match if the size - 1 tokens before it are the last size - 1 of all.
    matches = ops.logical_and(positions < t, size > 0)
    matches = ops.broadcast_to(matches, ops.shape(ids))

    def compare(distance: Tensor, matches: Tensor) -> tuple[Any, Any]:
        earlier = ops.take(ids, ops.maximum(positions - distance, 0), axis=-1)
        last = ops.take(ids, ops.reshape(ops.maximum(t - distance, 0), (1,)), axis=-1)
        same = ops.logical_and(ops.equal(earlier, last), positions >= distance)
        return distance + 1, ops.logical_and(matches, ops.logical_or(same, distance >= size))

    _, matches = ops.while_loop(
        lambda distance, _: distance < ops.max(size),
        compare,
        (ops.convert_to_tensor(1, dtype="int32"), matches),
    )
    return ops.where(_occurs(ids, matches, log_probabilities), -float("inf"), log_probabilities)


def forbid_early_end(
    log_probabilities: Tensor, ids: Tensor, t: Tensor, end_id: int, min_length: Any
) -> Tensor:
    """Forbids the end before `min_length` tokens."""
    is_end = ops.equal(ops.arange(ops.shape(log_probabilities)[-1], dtype="int32"), end_id)
    early = t < by_example(min_length, 3, "int32")
    return ops.where(ops.logical_and(is_end, early), -float("inf"), log_probabilities)


def end_where_nothing_may_follow(allowed: Tensor, log_probabilities: Tensor, end_id: int) -> Tensor:
    """Allows the end, and counts it as the model does, where `allowed` is -inf for all tokens."""
    is_end = ops.equal(ops.arange(ops.shape(allowed)[-1], dtype="int32"), end_id)
    nothing = ops.max(allowed, axis=-1, keepdims=True) == -float("inf")
    return ops.where(
        ops.logical_and(nothing, is_end), ops.maximum(log_probabilities, LEAST), allowed
    )


def force_prefix(
    allowed: Tensor, log_probabilities: Tensor, t: Tensor, prefix: Tensor, lengths: Tensor
) -> Tensor:
    """Allows token t of `prefix (B, P)` alone, where t is below its length."""
    prefix = ops.cast(prefix, "int32")
    last = ops.shape(prefix)[1] - 1
    if isinstance(last, int) and last < 0:
        return allowed
    token = ops.take(prefix, ops.reshape(ops.clip(t, 0, last), (1,)), axis=1)[..., None]
    vocabulary = ops.arange(ops.shape(allowed)[-1], dtype="int32")
    forced = ops.where(
        ops.equal(vocabulary, token), ops.maximum(log_probabilities, LEAST), -float("inf")
    )
    return ops.where(t < by_example(lengths, 3, "int32"), forced, allowed)


def _occurs(ids: Tensor, where: Tensor, like: Tensor) -> Tensor:
    """Boolean `(B, W, V)`, V as of `like`: whether a token is among the `ids` that are marked."""
    batch, width, vocabulary = ops.shape(like)
    # What is not marked goes to a column of its own, which is cut off.
    columns = vocabulary + 1
    rows = ops.reshape(ops.arange(batch * width, dtype="int32"), (batch, width, 1))
    index = rows * columns + ops.where(where, ids, vocabulary)
    index = ops.reshape(index, (-1, 1))
    table = ops.zeros((batch * width * columns,), dtype="float32")
    table = ops.scatter_update(table, index, ops.ones_like(index[:, 0], dtype="float32"))
    return ops.reshape(table, (batch, width, columns))[..., :vocabulary] > 0
