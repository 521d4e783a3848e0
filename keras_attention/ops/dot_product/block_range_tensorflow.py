"""Range of keys that a block of queries sees: blocks outside of it are skipped.

Only blocks at the edge of what is seen need a mask by position.
"""

import tensorflow as tf


class Reach:
    """Loops over blocks of queries, and over the blocks of keys that each of them sees.

    Args:
        grid: a `Grid`.
        causal, window: see `keras_attention.ops.dot_product_attention`.
    """

    def __init__(self, grid, causal, window):
        self.grid, self.causal, self.window = grid, causal, window
        self.offset = grid.value_length - grid.query_length  # of a query's own position
        padded = grid.columns * grid.count_k
        self.may_be_padded = tf.is_tensor(padded) or padded != grid.value_length

    def over_rows(self, body, stores):
        """`body(step, *stores)` for each block of queries of each group of sequences."""
        count = self.grid.count_b * self.grid.count_q
        loop = tf.while_loop(
            lambda step, *_: step < count, body, [0, *stores], parallel_iterations=1
        )
        return loop[1:]

    def over_columns(self, i, body, carry):
        """`body(j, edge, *carry)` for each key block j of which row block `i` sees any.

        With `edge`, some of its pairs may be out of reach.
        """
        first, inner, last = self._seen_by(i)
        for begin, end, edge in ((first, inner, False), (inner, last, True)):
            if not tf.is_tensor(begin) and not tf.is_tensor(end) and begin >= end:
                continue

            def turn(j, *carry, edge=edge):
                found = body(j, edge, *carry)
                for new, old in zip(found, carry, strict=True):
                    if tf.is_tensor(new):  # a size that is not known now is the same in each turn
                        new.set_shape(old.shape)
                return [j + 1, *found]

            _, *carry = tf.while_loop(
                lambda j, *_, end=end: j < end, turn, [begin, *carry], parallel_iterations=1
            )
        return carry

    def mask(self, at):
        """Mask of the columns of a block that exist and are within causal reach and window."""
        grid = self.grid
        row = at["q"] * grid.rows + tf.range(grid.rows)[:, None] + self.offset
        column = at["k"] * grid.columns + tf.range(grid.columns)[None, :]
        seen = tf.broadcast_to(column < grid.value_length, tf.shape(row + column))
        if self.causal:
            seen = tf.logical_and(seen, column <= row)
        if self.window is not None:
            seen = tf.logical_and(seen, column > row - self.window)
            seen = tf.logical_and(seen, column < row + self.window)
        return seen

    def _seen_by(self, i):
        """Key blocks from `first` to before `last` are seen; before `inner`, by every row."""
        grid = self.grid
        first, inner, last = 0, grid.count_k, grid.count_k
        if self.may_be_padded:
            inner = grid.value_length // grid.columns
        if self.causal or self.window is not None:
            top = i * grid.rows + self.offset
            bottom = top + grid.rows - 1
            if self.causal:
                last = tf.clip_by_value(bottom // grid.columns + 1, 0, last)
                inner = tf.clip_by_value((top + 1) // grid.columns, 0, tf.minimum(inner, last))
            elif self.window is not None:
                last = tf.clip_by_value((bottom + self.window - 1) // grid.columns + 1, 0, last)
            if self.window is not None:
                first = tf.clip_by_value((top - self.window + 1) // grid.columns, 0, last)
                inner = first
        return first, inner, last
