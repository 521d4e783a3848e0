"""A loop over the steps of a sequence, in the graph, with gradients, on every backend."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_attention._conversion import traced_for_conversion
from keras_attention._types import LayerOptions, Shape, Tensor
from keras_attention.ops.precision import at_least_float32


def unroll(step: Any, inputs: Tensor, state: Any) -> Any:
    """Runs `step` along the steps of `inputs`.

    Args:
        step: function of one step `(B, D)` and the state to an output `(B, D')` and the new state.
            It may read tensors from around it.
        inputs: `(B, T, D)`.
        state: list of float tensors, batch first.

    Returns:
        Outputs `(B, T, D')` and the final state, in the dtype of the inputs.
    """
    if inputs.shape[1] == 1:
        output, state = step(inputs[:, 0], state)
        return ops.expand_dims(output, 1), state
    if traced_for_conversion() and inputs.shape[1] is not None:
        return _step_by_step(step, inputs, state)
    if traced_for_conversion("LiteRT"):
        raise ValueError(
            "Expected a known number of steps of a layer that goes from one to the next: LiteRT "
            "has no loop over a number that is unknown. Export a model of keras.Input((steps, "
            f"features)) with fixed steps. Received: shape={tuple(inputs.shape)}"
        )
    if inputs.shape[1] == 0:
        batch, _, features = ops.shape(inputs)
        output, _ = step(ops.zeros((batch, features), dtype=inputs.dtype), state)
        return output[:, None][:, :0], state
    if inputs.shape[1] is None:
        return _any_number_of_steps(step, inputs, state)
    return _loop(step, inputs, state)


def _any_number_of_steps(step: Any, inputs: Tensor, state: Any) -> tuple[Any, Any]:
    """A loop over a number of steps that a graph does not know, and that may be 0.

    Keras' RNN reads a first step before it counts them: without any, it gets one of zeros.
    """
    batch, steps, features = ops.shape(inputs)
    nothing = steps == 0
    added = ops.zeros((batch, ops.cast(nothing, "int32"), features), dtype=inputs.dtype)
    outputs, last = _loop(step, ops.concatenate([inputs, added], axis=1), state)
    last = [ops.where(nothing, *pair) for pair in zip(state, last, strict=True)]
    return outputs[:, :steps], last


def _loop(step: Any, inputs: Tensor, state: Any) -> tuple[Any, Any]:
    dtype = keras.backend.standardize_dtype(inputs.dtype)
    loop = keras.layers.RNN(
        _StepCell(step, len(state), dtype=dtype),
        return_sequences=True,
        return_state=True,
        dtype=dtype,
    )
    outputs, *state = loop(inputs, initial_state=list(state))
    return outputs, state


def _step_by_step(step: Any, inputs: Tensor, state: Any) -> tuple[Any, Any]:
    """One step after another in the graph, without a loop."""
    outputs = []
    for t in range(inputs.shape[1]):
        output, state = step(inputs[:, t], state)
        outputs.append(output)
    return ops.stack(outputs, axis=1), state


def pack(tensors: Any, like: Any) -> tuple[Any, Any]:
    """Concatenate tensors `(B, T, n)`, and return the function that splits one step of them.

    The loop takes one tensor, float32 at least. Splitting restores dtypes, booleans included.
    """
    dtype = at_least_float32(like.dtype)
    kinds = [keras.backend.standardize_dtype(x.dtype) for x in tensors]
    sizes = [ops.shape(x)[-1] for x in tensors]

    def unpack(row: Tensor) -> Any:
        parts, start = [], 0
        for kind, size in zip(kinds, sizes, strict=True):
            # Sizes that are known stay known, whatever stands beside them.
            part = ops.reshape(row[:, start : start + size], (ops.shape(row)[0], size))
            parts.append(part > 0.5 if kind == "bool" else ops.cast(part, kind))
            start = start + size
        return parts

    return ops.concatenate([ops.cast(x, dtype) for x in tensors], axis=-1), unpack


class _StepCell(keras.layers.Layer):
    """Cell of `keras.layers.RNN` that runs a function; owns no weights."""

    def __init__(self, step: Any, num_states: int, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self._step = step
        # `RNN` wants sizes, but uses them only where no initial state is given.
        self.state_size = [1] * num_states

    def build(self, inputs_shape: Shape) -> None:
        pass

    def call(self, inputs: Tensor, states: Any) -> Any:
        return self._step(inputs, list(states))
