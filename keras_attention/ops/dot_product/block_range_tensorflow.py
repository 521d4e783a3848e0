"""Range of keys that a block of queries sees: blocks outside of it are skipped.

Only blocks at the edge of what is seen need a mask by position.
"""

from typing import Any

import tensorflow as tf

from keras_attention._types import Tensor


class BlockRange:
    """Loops over blocks of queries, and over the blocks of keys that each of them sees.

    Args:
        tiling: a `Tiling`.
        causal, window: see `keras_attention.ops.dot_product_attention`.
    """

    def __init__(self, tiling: Tensor, causal: bool, window: int | None) -> None:
        self.tiling, self.causal, self.window = tiling, causal, window
        self.offset = tiling.value_length - tiling.query_length  # of a query's own position
        padded = tiling.columns * tiling.count_k
        self.may_be_padded = tf.is_tensor(padded) or padded != tiling.value_length

    def over_rows(self, body: Tensor, stores: Tensor) -> Tensor:
        """`body(step, *stores)` for each block of queries of each group of sequences."""
        count = self.tiling.count_b * self.tiling.count_q
        loop = tf.while_loop(
            lambda step, *_: step < count, body, [0, *stores], parallel_iterations=1
        )
        return loop[1:]

    def over_columns(self, i: Tensor, body: Tensor, carry: Any) -> Tensor:
        """`body(j, needs_mask, *carry)` for each key block j of which row block `i` sees any.

        With `needs_mask`, some of its pairs may be out of reach.
        """
        first, inner, last = self._seen_by(i)
        for begin, end, needs_mask in ((first, inner, False), (inner, last, True)):
            if not tf.is_tensor(begin) and not tf.is_tensor(end) and begin >= end:
                continue

            def turn(j: Tensor, *carry: Any, needs_mask: Tensor = needs_mask) -> Tensor:
                found = body(j, needs_mask, *carry)
                for new, old in zip(found, carry, strict=True):
                    if tf.is_tensor(new):  # a size that is not known now is the same in each turn
                        new.set_shape(old.shape)
                return [j + 1, *found]

            _, *carry = tf.while_loop(
                lambda j, *_, end=end: j < end, turn, [begin, *carry], parallel_iterations=1
            )
        return carry

    def mask(self, at: dict[str, Any]) -> Tensor:
        """Mask of the columns of a block that exist and are within causal reach and window."""
        tiling = self.tiling
        row = at["q"] * tiling.rows + tf.range(tiling.rows)[:, None] + self.offset
        column = at["k"] * tiling.columns + tf.range(tiling.columns)[None, :]
        seen = tf.broadcast_to(column < tiling.value_length, tf.shape(row + column))
        if self.causal:
            seen = tf.logical_and(seen, column <= row)
        if self.window is not None:
            seen = tf.logical_and(seen, column > row - self.window)
            seen = tf.logical_and(seen, column < row + self.window)
        return seen

    def _seen_by(self, i: Tensor) -> tuple[Any, Any, Any]:
        """Key blocks from `first` to before `last` are seen; before `inner`, by every row."""
        tiling = self.tiling
        first, inner, last = 0, tiling.count_k, tiling.count_k
        if self.may_be_padded:
            inner = tiling.value_length // tiling.columns
        if self.causal or self.window is not None:
            top = i * tiling.rows + self.offset
            bottom = top + tiling.rows - 1
            if self.causal:
                last = tf.clip_by_value(bottom // tiling.columns + 1, 0, last)
                inner = tf.clip_by_value((top + 1) // tiling.columns, 0, tf.minimum(inner, last))
            elif self.window is not None:
                last = tf.clip_by_value((bottom + self.window - 1) // tiling.columns + 1, 0, last)
            if self.window is not None:
                first = tf.clip_by_value((top - self.window + 1) // tiling.columns, 0, last)
                inner = first
        return first, inner, last
