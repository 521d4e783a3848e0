"""Merging of the tensors of several requests into those of a batch, and splitting of its results.

Rows are along dimension 0. These are pure functions of arrays; the texts of their errors are
TensorFlow Serving's.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from keras_attention_serving import errors
from keras_attention_serving.protocol import tensors, wire
from keras_attention_serving.protocol.tensors import Array

MAX_PADDED_RANK = 6
_ANY = 0  # DT_INVALID: the signature states no dtype


def num_rows(feeds: Mapping[str, Array]) -> int:
    """Number of rows of a request: dimension 0, the same in all its tensors.

    Raises `errors.InvalidArgument` if it is not the same, or missing.
    """
    if not feeds:
        raise errors.InvalidArgument("Batching Run() must have at least one input tensor")
    sizes: list[int] = []
    for array in feeds.values():
        if not array.ndim:
            raise errors.InvalidArgument(
                "Batching Run() input tensors must have at least one dimension"
            )
        sizes.append(array.shape[0])
    if min(sizes) != max(sizes):
        raise errors.InvalidArgument(
            "Batching Run() input tensors must have equal 0th-dimension size"
        )
    return sizes[0]


def check_shapes(feeds: Mapping[str, Array], infos: Mapping[str, wire.TensorInfo]) -> None:
    """Raises `errors.InvalidArgument` for a tensor that padding cannot make fit a signature.

    Except for the first axis, sizes must be those that the signature states; where it states none,
    any size fits.

    Args:
        feeds: arrays by the name of their tensor.
        infos: `TensorInfo`s by the same name.
    """
    for name, array in feeds.items():
        if not _has_shape(array, infos[name]):
            sizes = [dim.size for dim in infos[name].tensor_shape.dim]
            raise errors.InvalidArgument(
                f"Tensor with name '{name}' has the shape {list(array.shape)}, which does not fit "
                f"that of the signature, {sizes}, where -1 is any size."
            )


def fits(feeds: Mapping[str, Array], infos: Mapping[str, wire.TensorInfo]) -> bool:
    """Return True if tensors have the dtypes and sizes that a signature states."""
    return all(
        infos[name].dtype in (_ANY, tensors.data_type(array.dtype))
        and _has_shape(array, infos[name])
        for name, array in feeds.items()
    )


def _has_shape(array: Array, info: wire.TensorInfo) -> bool:
    sizes = [dim.size for dim in info.tensor_shape.dim]
    if info.tensor_shape.unknown_rank or not sizes:
        return True
    pairs = zip(sizes[1:], array.shape[1:], strict=False)
    return len(sizes) == array.ndim and all(size in (-1, actual) for size, actual in pairs)


def merge(requests: Sequence[Mapping[str, Array]], padding: int, pad: bool) -> dict[str, Array]:
    """Concatenates the feeds of several requests to those of a batch.

    Args:
        requests: the feeds of each request, `(rows, ...)`, all with the same names.
        padding: number of rows to add at the end: copies of the last request's first row.
        pad: requests of different shapes are padded, each with its own first element.

    Raises:
        errors.FailedPrecondition: the shapes differ and `pad` is not set.
        errors.InvalidArgument: the shapes or dtypes cannot be brought together.
    """
    if len(requests) == 1 and not padding:
        return dict(requests[0])
    return {
        name: _merge_one(name, [feeds[name] for feeds in requests], padding, pad)
        for name in requests[0]
    }


def split(outputs: Sequence[Array], sizes: Sequence[int], padding: int) -> list[list[Array]]:
    """Splits outputs by the numbers of rows of the requests, and drops the rows of padding.

    Raises `errors.FailedPrecondition` if an output does not have a row for each row of the batch.
    """
    total = sum(sizes) + padding
    for array in outputs:
        if not array.ndim:
            raise errors.FailedPrecondition("Batched output tensor has 0 dimensions")
        if array.shape[0] != total:
            raise errors.FailedPrecondition(
                "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                "dimension sizes of the input tensors"
            )
    parts, start = [], 0
    for size in sizes:
        parts.append([array[start : start + size] for array in outputs])
        start += size
    return parts


def _merge_one(name: str, arrays: list[Array], padding: int, pad: bool) -> Array:
    if any(array.dtype != arrays[0].dtype for array in arrays):
        raise errors.InvalidArgument(
            f"Tensors with name '{name}' from different tasks have different types."
        )
    if any(array.shape[1:] != arrays[0].shape[1:] for array in arrays):
        if not pad:
            raise errors.FailedPrecondition(
                f"Tensors with name '{name}' from different tasks have different shapes and "
                "padding is turned off. Set pad_variable_length_inputs to true, or ensure that "
                "all tensors with the same name have equal dimensions starting with the first dim."
            )
        arrays = _pad(name, arrays)
    if padding:
        arrays.append(np.repeat(arrays[-1][:1], padding, axis=0))
    return np.concatenate(arrays)


def _pad(name: str, arrays: list[Array]) -> list[Array]:
    if any(array.ndim != arrays[0].ndim for array in arrays):
        raise errors.InvalidArgument(
            f"Tensors with name '{name}' from different tasks have different ranks."
        )
    if arrays[0].ndim > MAX_PADDED_RANK:
        raise errors.InvalidArgument("Only tensors with rank from 1 to 6 can be padded.")
    largest = tuple(np.max([array.shape[1:] for array in arrays], axis=0).tolist())
    return [array if array.shape[1:] == largest else _pad_rows(array, largest) for array in arrays]


def _pad_rows(array: Array, shape: tuple[int, ...]) -> Array:
    """Pads the rows of `array` at the end of each axis to `shape`, with its first element."""
    if not array.size:
        raise errors.InvalidArgument("Got empty tensor in batch of non-empty tensors.")
    result = np.empty((array.shape[0], *shape), array.dtype)
    result.fill(array.flat[0])  # unlike np.pad, it keeps strings as they are
    result[tuple(slice(size) for size in array.shape)] = array
    return result
