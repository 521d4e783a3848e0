"""Functions of matrices, of tensors of any rank."""

from keras import ops

from keras_attention._types import Tensor


def by_rows(function: Tensor, x: Tensor) -> Tensor:
    """A function of a matrix, such as a product with a kernel, of the rows of `x (..., D)`.

    What Keras makes of a product of rank 3 with an unknown batch has, on TensorFlow, a transpose in
    its gradient that XLA refuses inside a loop. That of a matrix has none.

    Args:
        function: of `(N, D)` to `(N, D')`.
        x: `(..., D)`, D known.

    Returns:
        `(..., D')`.
    """
    rows = function(ops.reshape(x, (-1, x.shape[-1])))
    return ops.reshape(rows, (*ops.shape(x)[:-1], rows.shape[-1]))
