"""The interface between search and model."""

from typing import Any, Protocol


class StepFunction(Protocol):
    """One decoding step: from the tokens chosen last to scores of all tokens that may follow.

    Teacher forcing and every search go through the same function.
    """

    def __call__(self, token: Any, state: Any, memory: Any) -> tuple[Any, Any, Any]:
        """Advances each sequence by one token.

        Args:
            token: int32 `(B,)`, the tokens chosen last.
            state: any structure of tensors, batch first, which the step updates.
            memory: any structure of tensors, batch first, which it only reads.

        Returns:
            logits `(B, V)`; the new state; the attention weights `(B, Tv)` over the memory.
        """
