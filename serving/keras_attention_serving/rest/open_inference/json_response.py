"""Writer of the body of an HTTP response: JSON, followed by binary tensors."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from keras_attention_serving.errors import InvalidArgument
from keras_attention_serving.open_inference import contents, datatypes, messages
from keras_attention_serving.protocol.tensors import Array
from keras_attention_serving.rest import json_encode
from keras_attention_serving.rest.json_text import encode, quote

_CHUNK = 1 << 14  # values that are written before other threads get a turn


def inference(
    response: Any,
    named: Mapping[str, bool],
    default: bool,
    check: Callable[[], object] = lambda: None,
) -> tuple[bytes, int | None]:
    """The body for a `ModelInferResponse` with raw contents.

    Args:
        response: the message.
        named: True by name for outputs that are sent as binary data, False for JSON.
        default: the same for all other outputs.
        check: called now and then; writing ends if it raises.

    Returns:
        The body, and the number of bytes of its JSON; None if all of it is JSON.

    Raises:
        errors.ServingError: an output has no JSON, or `check` raised it.
    """
    entries, binary = [], []
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        head = (
            f'{{"name":{quote(output.name)},"datatype":{quote(output.datatype)},'
            f'"shape":{_listed(output.shape)}'
        )
        if named.get(output.name, default):
            binary.append(raw)
            entries.append(f'{head},"parameters":{{"binary_data_size":{len(raw)}}}}}')
        else:
            entries.append(f'{head},"data":[{",".join(_texts(output, raw, check))}]}}')
    text = encode(
        f'{{"model_name":{quote(response.model_name)},'
        f'"model_version":{quote(response.model_version)},'
        + (f'"id":{quote(response.id)},' if response.id else "")
        + f'"outputs":[{",".join(entries)}]}}'
    )
    return b"".join((text, *binary)), len(text) if binary else None


def metadata(response: messages.ModelMetadataResponse) -> bytes:
    """The body for a `ModelMetadataResponse`."""
    versions = ",".join(map(quote, response.versions))
    return encode(
        f'{{"name":{quote(response.name)},"versions":[{versions}],'
        f'"platform":{quote(response.platform)},'
        f'"inputs":{_tensors(response.inputs)},"outputs":{_tensors(response.outputs)}}}'
    )


def server_metadata(response: messages.ServerMetadataResponse) -> bytes:
    """The body for a `ServerMetadataResponse`."""
    extensions = ",".join(map(quote, response.extensions))
    return encode(
        f'{{"name":{quote(response.name)},"version":{quote(response.version)},'
        f'"extensions":[{extensions}]}}'
    )


def _tensors(tensors: Any) -> str:
    entries = [
        f'{{"name":{quote(tensor.name)},"datatype":{quote(tensor.datatype)},'
        f'"shape":{_listed(tensor.shape)}}}'
        for tensor in tensors
    ]
    return f"[{','.join(entries)}]"


def _listed(sizes: Iterable[int]) -> str:
    return f"[{','.join(map(str, sizes))}]"


def _texts(output: Any, raw: bytes, check: Callable[[], object]) -> Iterator[str]:
    """The values as JSON texts."""
    name = f"output {output.name!r}"
    datatype = datatypes.by_name(output.datatype, name)
    array: Array = contents.from_raw(raw, output.shape, datatype, name).reshape(-1)
    for start in range(0, array.size, _CHUNK):
        check()
        try:
            yield from _some(array[start : start + _CHUNK])
        except UnicodeDecodeError:
            raise InvalidArgument(
                f"Expected {name} to be UTF-8 for an answer in JSON. Received: other bytes, which "
                "the parameter binary_data of the output, or binary_data_output of the request, "
                "makes possible"
            ) from None


def _some(array: Array) -> list[str]:
    kind = array.dtype.kind
    if kind == "b":
        return ["true" if value else "false" for value in array.tolist()]
    if kind in "iu":
        return list(map(str, array.tolist()))
    if kind in "fV":
        wide = array if array.dtype.itemsize > 2 else array.astype(np.float32)
        return json_encode.decimals(wide)
    return [quote(value.decode()) for value in array.tolist()]
