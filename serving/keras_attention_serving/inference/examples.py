"""Inputs of Classify, Regress and MultiInference: serialized `tf.Example` messages."""

from collections.abc import Sequence

import numpy as np

from keras_attention_serving import errors
from keras_attention_serving.protocol import wire
from keras_attention_serving.protocol.tensors import Array


def serialized(inputs: wire.Input) -> Array:
    """The examples of an `Input` message, serialized: `(n,)` of `bytes`.

    A context is put before each of them, so that features of the example override its own.

    Raises `errors.InvalidArgument` if there is none.
    """
    kind = inputs.WhichOneof("kind")
    context = b""
    examples: Sequence[wire.Example] = ()
    if kind == "example_list":
        examples = inputs.example_list.examples
    elif kind == "example_list_with_context":
        examples = inputs.example_list_with_context.examples
        context = inputs.example_list_with_context.context.SerializeToString()
    if not examples:
        raise errors.InvalidArgument("Input is empty.")
    result = np.empty(len(examples), np.dtype(object))
    result[:] = [context + example.SerializeToString() for example in examples]
    return result
