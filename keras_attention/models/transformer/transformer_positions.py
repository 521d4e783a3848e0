"""Positions of a Transformer by name, whether they belong to the embedding or to the attention."""

from typing import Any

from keras_attention.layers import (
    AlibiBias,
    LearnedPositions,
    RelativeBias,
    RotaryPositions,
    SinusoidalPositions,
)

POSITIONS = ("sinusoidal", "learned", "rotary", "alibi", "relative")


def added_positions(name: str | None, max_positions: int, dtype: Any) -> Any:
    """The layer that adds positions to embeddings, or None where attention has them."""
    if name not in POSITIONS:
        raise ValueError(
            f"Expected positions to be one of {POSITIONS}. Received: positions={name!r}"
        )
    if name == "sinusoidal":
        return SinusoidalPositions(dtype=dtype, name="positions")
    if name == "learned":
        return LearnedPositions(max_positions, dtype=dtype, name="positions")
    return None


def attended_positions(
    name: str | None, num_heads: int, bidirectional: bool, dtype: Any
) -> dict[str, Any]:
    """Options of self-attention, the same layers for all blocks; {} where embeddings have them."""
    if name == "rotary":
        return {"rotary": RotaryPositions(dtype=dtype, name="rotary")}
    if name == "alibi":
        return {"position_bias": AlibiBias(num_heads, dtype=dtype, name="position_bias")}
    if name == "relative":
        bias = RelativeBias(
            num_heads, bidirectional=bidirectional, dtype=dtype, name="position_bias"
        )
        return {"position_bias": bias}
    return {}
