"""Step functions that read their logits from a table, so that a test knows every answer."""

import keras
import numpy as np
from keras import ops


def table_step(token, state, memory):
    """Row t of the table at step t, moved by what was chosen last: the token matters, too.

    The state is the time `(B,)`; the memory `(logits (B, T, V), weights (B, T, Tv))`. After token
    1 the logits are reversed.
    """
    (time,) = state
    logits, weights = memory
    row = ops.take_along_axis(logits, ops.reshape(time, (-1, 1, 1)), axis=1)[:, 0]
    row = ops.where(ops.equal(token, 1)[:, None], ops.flip(row, axis=-1), row)
    seen = ops.take_along_axis(weights, ops.reshape(time, (-1, 1, 1)), axis=1)[:, 0]
    return row, [time + 1], seen


def counted(step):
    """`step`, and a list that grows by one at each run of it, inside a compiled loop, too."""
    runs = []

    def counting(token, state, memory):
        if keras.backend.backend() == "jax":
            import jax

            jax.debug.callback(lambda: runs.append(1))
        else:
            runs.append(1)
        return step(token, state, memory)

    return counting, runs


def oracle(logits, weights, start_id, end_id, max_length):
    """Greedy search over the same table, in NumPy float64, one example at a time."""
    answers = []
    for table, seen in zip(logits.astype("float64"), weights, strict=True):
        ids = np.zeros(max_length, "int32")
        alignments = np.zeros((max_length, seen.shape[-1]))
        token, score, length = start_id, 0.0, 0
        for t in range(max_length):
            row = table[t][::-1] if token == 1 else table[t]
            token = int(np.argmax(row))
            score += row[token] - np.log(np.sum(np.exp(row)))
            if token == end_id:
                break
            ids[t], alignments[t], length = token, seen[t], t + 1
        answers.append((ids, length, score, alignments))
    return [np.array(column) for column in zip(*answers, strict=True)]
