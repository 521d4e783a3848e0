"""Limit on the memory that a request takes when it is read: a few bytes may claim a large tensor.

A tensor with fewer values than its shape is filled with the last of them, and a context is put
before every example. So the length of a message does not bound the work and memory that it costs.
"""

from typing import Any

from keras_attention_serving import errors
from keras_attention_serving.protocol import tensors


def claimed_bytes(request: Any) -> int:
    """The bytes that the arrays of a request take beyond those of the message."""
    fields = request.DESCRIPTOR.fields_by_name
    if "raw_input_contents" in fields:
        return 0  # an inference request whose values are not those of its shapes is refused
    if "inputs" in fields:
        return sum(tensors.claimed_bytes(proto) for proto in request.inputs.values())
    with_context = request.input.example_list_with_context
    return int(with_context.context.ByteSize()) * len(with_context.examples)


def check(request: Any, limit: int | None) -> None:
    """Raises `errors.ResourceExhausted` if a request claims more than `limit` bytes.

    None is no limit.
    """
    claimed = claimed_bytes(request)
    if limit is not None and claimed > limit:
        error = errors.ResourceExhausted(
            f"Expected inputs that are sent, or claim at most {limit} bytes by their shapes "
            f"(--max_claimed_input_bytes). Received: {claimed} bytes that are not in the message"
        )
        error.final = True
        raise error
