"""Several queries to each row of a memory, such as the hypotheses of a beam."""

from typing import Any

from keras import ops

from keras_attention._types import Tensor


def queries_per_memory(x: Tensor, memory: Tensor, width: Any = None) -> Tensor:
    """Rows `x (B W, [n,] D)`, W for each row of a memory side by side, as queries `(B, W n, D)`.

    So the memory is read without repeating it.

    Args:
        x: `(B W, D)` or `(B W, n, D)`.
        memory: a tensor of B rows.
        width: W, for graphs that do not know the sizes of both batches.
    """
    rows, batch_size, features = x.shape[0], memory.shape[0], x.shape[-1]
    if width is None and None not in (rows, batch_size):
        width = rows // max(batch_size, 1)
    if width is None:
        return ops.reshape(x, (ops.shape(memory)[0], -1, features))
    steps = ops.shape(x)[1] if len(x.shape) == 3 else 1
    return ops.reshape(x, (-1 if batch_size is None else batch_size, width * steps, features))
