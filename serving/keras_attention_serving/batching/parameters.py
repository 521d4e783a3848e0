"""Parameters of batching: TensorFlow Serving's `BatchingParameters`.

    max_batch_size { value: 64 }
    batch_timeout_micros { value: 2000 }
    allowed_batch_sizes: 16
    allowed_batch_sizes: 64

No package defines the message, so it is built here, in the descriptor pool of the protocol.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, text_format

from keras_attention_serving import errors
from keras_attention_serving.concurrency.processors import processors
from keras_attention_serving.protocol import text_proto, wire

FILE = "batching_params.pbtxt"  # in a version folder: parameters for this model

_MESSAGE = """
name: "keras_attention_serving/batching_parameters.proto"
package: "tensorflow.serving"
syntax: "proto3"
dependency: "google/protobuf/wrappers.proto"
message_type {
  name: "BatchingParameters"
  field { number: 1 name: "max_batch_size" type_name: ".google.protobuf.Int64Value" }
  field { number: 2 name: "batch_timeout_micros" type_name: ".google.protobuf.Int64Value" }
  field { number: 3 name: "max_enqueued_batches" type_name: ".google.protobuf.Int64Value" }
  field { number: 4 name: "num_batch_threads" type_name: ".google.protobuf.Int64Value" }
  field { number: 5 name: "thread_pool_name" type_name: ".google.protobuf.StringValue" }
  field { number: 6 name: "allowed_batch_sizes" type: TYPE_INT64 label: LABEL_REPEATED }
  field { number: 7 name: "pad_variable_length_inputs" type: TYPE_BOOL }
  field { number: 8 name: "enable_large_batch_splitting" type_name: ".google.protobuf.BoolValue" }
  field { number: 9 name: "max_execution_batch_size" type_name: ".google.protobuf.Int64Value" }
}
"""


def _message() -> Any:
    wire.POOL.Add(text_format.Parse(_MESSAGE, descriptor_pb2.FileDescriptorProto()))
    return wire.message("tensorflow.serving.BatchingParameters")


_BatchingParameters = _message()


@dataclass(frozen=True)
class Parameters:
    """Batching parameters, with TensorFlow Serving's defaults.

    Attributes:
        max_batch_size: rows of the largest request, and of the largest batch unless
            `max_execution_batch_size` says otherwise.
        batch_timeout_micros: the longest time that a request waits for others.
        max_enqueued_batches: number of batches that may wait for a thread.
        num_batch_threads: number of batches that run at a time; one per processor by default.
        thread_pool_name: a name for metrics.
        allowed_batch_sizes: batches are padded to one of these sizes; increasing.
        pad_variable_length_inputs: pad inputs to a common shape.
        enable_large_batch_splitting: requests may be spread over several batches.
        max_execution_batch_size: rows of the largest batch; only with splitting.

    Raises:
        errors.InvalidArgument: a value is out of range.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = processors()
    thread_pool_name: str = ""
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "num_batch_threads", "max_execution_batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise errors.InvalidArgument(f"{name} must be positive; was {value}")
        for name in ("batch_timeout_micros", "max_enqueued_batches"):
            if getattr(self, name) < 0:
                raise errors.InvalidArgument(
                    f"{name} must be non-negative; was {getattr(self, name)}"
                )
        if self.largest_batch > self.max_batch_size:
            raise errors.InvalidArgument(
                "max_execution_batch_size must not exceed max_batch_size; "
                f"was {self.largest_batch}; max_batch_size is {self.max_batch_size}"
            )
        sizes = self.allowed_batch_sizes
        if sizes and sizes[-1] != self.max_batch_size:
            raise errors.InvalidArgument(
                "Last entry in allowed_batch_sizes must match max_batch_size; "
                f"last entry was {sizes[-1]}; expected {self.max_batch_size}"
            )
        if any(low >= high for low, high in zip((0, *sizes), sizes, strict=False)):
            raise errors.InvalidArgument(
                "allowed_batch_sizes entries must be monotonically increasing"
            )

    @property
    def largest_batch(self) -> int:
        """Rows of the largest batch that is run, before it is padded."""
        if self.enable_large_batch_splitting and self.max_execution_batch_size is not None:
            return self.max_execution_batch_size
        return self.max_batch_size

    def rounded(self, size: int) -> int:
        """Rounds the size of a batch up to the next allowed one."""
        return next((allowed for allowed in self.allowed_batch_sizes if allowed >= size), size)


def parse_parameters(text: str, origin: str) -> Parameters:
    """Parses a text proto; fields that it does not mention keep their defaults.

    Raises `errors.InvalidArgument`, with `origin` in its text, if it is none.
    """
    return _from_message(text_proto.parse(text, _BatchingParameters, origin))


def read_parameters(path: str | os.PathLike[str]) -> Parameters:
    """Reads parameters from a file (`--batching_parameters_file`).

    Raises `errors.ServingError` if it cannot be read or holds something else.
    """
    return _from_message(text_proto.read(os.fspath(path), _BatchingParameters))


def read_version_parameters(folder: Path) -> Parameters | None:
    """Reads the parameters in a version folder, if there are any; raises as `read_parameters`."""
    path = folder / FILE
    return read_parameters(path) if path.exists() else None


def _from_message(message: Any) -> Parameters:
    values: dict[str, Any] = {
        field.name: getattr(message, field.name).value
        for field, _ in message.ListFields()
        if field.message_type is not None
    }
    return Parameters(
        allowed_batch_sizes=tuple(message.allowed_batch_sizes),
        pad_variable_length_inputs=message.pad_variable_length_inputs,
        **values,
    )
