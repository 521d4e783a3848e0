"""Several queries to each row of a memory, such as the hypotheses of a beam."""

from keras import ops


def queries_per_memory(x, memory, width=None):
    """Rows `x (B W, [n,] D)`, W for each row of a memory side by side, as queries `(B, W n, D)`.

    So the memory is read without repeating it.

    Args:
        x: `(B W, D)` or `(B W, n, D)`.
        memory: a tensor of B rows.
        width: W, for graphs that do not know the sizes of both batches.
    """
    batch_size, rows, features = ops.shape(memory)[0], x.shape[0], x.shape[-1]
    if width is None and isinstance(batch_size, int) and rows is not None:
        width = rows // max(batch_size, 1)
    steps = ops.shape(x)[1] if len(x.shape) == 3 else 1
    return ops.reshape(x, (batch_size, -1 if width is None else width * steps, features))
