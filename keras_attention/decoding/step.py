"""The interface between search and model."""

from collections.abc import Callable
from typing import Any, Protocol

import keras
from keras import ops

from keras_attention._types import Tensor


class StepFunction(Protocol):
    """One decoding step: from the tokens chosen last to scores of all tokens that may follow.

    Teacher forcing and every search go through the same function.
    """

    def __call__(self, token: Any, state: Any, memory: Any) -> tuple[Any, Any, Any]:
        """Advances each sequence by one token.

        Token and state may hold W rows for each row of the memory, example-major: rows
        `b * W` to `b * W + W - 1` belong to row b of the memory. `with_repeated_memory` makes such
        a function of one that wants as many rows of memory as of tokens.

        Args:
            token: int32 `(B * W,)`, the tokens chosen last.
            state: any structure of tensors, `B * W` rows first, which the step updates.
            memory: any structure of tensors, batch first, which it only reads.

        Returns:
            logits `(B * W, V)`; the new state; the attention weights `(B * W, Tv)` over the memory.
        """


def with_repeated_memory(step: Callable[..., Any]) -> StepFunction:
    """Lets a step function that knows one sequence for each row of memory decode several.

    It repeats the rows of the memory at each step. A step that reads one row for all its W
    sequences needs less memory and time.

    Args:
        step: a function as `StepFunction`, but with W = 1.

    Returns:
        A `StepFunction`.
    """

    def repeating(token: Tensor, state: Any, memory: Any) -> Any:
        def repeat(x: Tensor) -> Tensor:
            width = ops.shape(token)[0] // ops.shape(x)[0]
            shape = ops.shape(x)
            wide = ops.broadcast_to(x[:, None], (shape[0], width, *shape[1:]))
            return ops.reshape(wide, (shape[0] * width, *shape[1:]))

        return step(token, state, keras.tree.map_structure(repeat, memory))

    return repeating
