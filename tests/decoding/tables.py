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


# How many states a hashed model has: enough that different histories seldom meet.
STATES = 997


def hashed_step(token, state, memory):
    """A model whose logits depend on all tokens so far, and W rows of it for each of the memory.

    The state is a hash of the tokens `(B * W,)`; the memory holds the logits `(B, STATES, V)` and
    the weights `(B, STATES, Tv)` for each hash.
    """
    (state,) = state
    state = (state * 31 + token + 1) % STATES
    logits, weights = memory
    batch, rows = ops.shape(logits)[0], ops.shape(state)[0]
    index = ops.arange(rows, dtype="int32") // (rows // batch) * STATES + state

    def read(table):
        return ops.take(ops.reshape(table, (-1, ops.shape(table)[-1])), index, axis=0)

    return read(logits), [state], read(weights)


def hashed_tables(seed, batch, vocabulary, memory, scale=2.0):
    """Random tables for `hashed_step`; the weights of each state sum to 1."""
    generator = np.random.default_rng(seed)
    logits = scale * generator.standard_normal((batch, STATES, vocabulary))
    weights = generator.random((batch, STATES, memory)) ** 4
    weights /= weights.sum(axis=-1, keepdims=True)
    return logits.astype("float32"), weights.astype("float32")


def hashed_oracle(logits, weights):
    """`next(tokens, token) -> log-probabilities, weights` of one example, in NumPy float64."""
    logits = logits.astype("float64")
    best = logits.max(axis=-1, keepdims=True)
    log_p = logits - best - np.log(np.exp(logits - best).sum(axis=-1, keepdims=True))

    def after(tokens):
        state = 0
        for token in tokens:
            state = (state * 31 + token + 1) % STATES
        return log_p[state], weights[state].astype("float64")

    return after


def run(search, step, logits, weights, **options):
    """Runs a search over the tables from state 0; returns NumPy arrays in a tuple of its kind."""

    def function(state, memory):
        return search(step, state, memory, batch_size=len(logits), **options)

    state = [ops.zeros((len(logits),), dtype="int32")]
    memory = ops.convert_to_tensor(logits), ops.convert_to_tensor(weights)
    if keras.backend.backend() == "jax":
        import jax

        # It compiles a loop in any case; the whole at once takes it less time.
        found = jax.jit(function)(state, memory)
        jax.effects_barrier()
    else:
        found = function(state, memory)
    return type(found)(*(ops.convert_to_numpy(x) for x in found))
