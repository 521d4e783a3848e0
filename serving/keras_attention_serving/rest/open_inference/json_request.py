"""Reader of a `ModelInferRequest` from an HTTP body: JSON, followed by binary tensors."""

from collections.abc import Callable
from typing import Any

from keras_attention_serving.errors import InvalidArgument
from keras_attention_serving.open_inference import contents, datatypes, messages
from keras_attention_serving.rest import json_text
from keras_attention_serving.rest.json_text import unexpected
from keras_attention_serving.rest.open_inference import json_data


def read(
    body: bytes,
    json_bytes: int,
    request: messages.ModelInferRequest,
    check: Callable[[], object] = lambda: None,
) -> None:
    """Fill a `ModelInferRequest`.

    Args:
        body: JSON, and binary tensors in the order of the inputs.
        json_bytes: number of bytes of the JSON.
        request: the message; its model is known already.
        check: called now and then; reading ends if it raises.

    Raises:
        errors.ServingError: the body is wrong, or `check` raised it.
    """
    document = json_text.parse(body[:json_bytes])
    check()
    request.id = _text(document, "id", "the request")
    _fill_parameters(request.parameters, document, "the request")
    at = json_bytes
    for entry in _objects(document, "inputs"):
        name = _text(entry, "name", "an input", needed=True)
        tensor = f"input {name!r:.80}"
        datatype = datatypes.by_name(_text(entry, "datatype", tensor, needed=True), tensor)
        shape = _shape(entry, tensor)
        target = request.inputs.add(name=name, datatype=datatype.name, shape=shape)
        _fill_parameters(target.parameters, entry, tensor)
        if "binary_data_size" in target.parameters:
            size = _binary_size(target, entry, tensor, len(body) - at)
            request.raw_input_contents.append(body[at : at + size])
            at += size
        elif "shared_memory_region" in target.parameters:
            request.raw_input_contents.append(b"")  # refused later, with another text
        elif entry.get("data") is not None:
            array = json_data.read(entry["data"], shape, datatype, tensor)
            request.raw_input_contents.append(contents.to_raw(array))
        else:
            raise InvalidArgument(
                f"Expected data, or the parameter binary_data_size, for {tensor}. Received: neither"
            )
        check()
    if at != len(body):
        raise InvalidArgument(
            f"Expected {at} bytes: {json_bytes} of JSON and those of the binary inputs. "
            f"Received: {len(body)} bytes"
        )
    for entry in _objects(document, "outputs"):
        name = _text(entry, "name", "an output", needed=True)
        output = request.outputs.add(name=name)
        _fill_parameters(output.parameters, entry, f"output {name!r:.80}")


def binary_outputs(request: messages.ModelInferRequest) -> tuple[dict[str, bool], bool]:
    """The outputs of a `ModelInferRequest` that are requested as binary data, or not.

    Returns True or False by name, and the default for other outputs. Raises
    `errors.InvalidArgument` if a parameter for it is not a boolean.
    """
    default = _is_binary(request.parameters, "binary_data_output", False, "the request")
    named = {
        output.name: _is_binary(
            output.parameters, "binary_data", default, f"output {output.name!r:.80}"
        )
        for output in request.outputs
    }
    return named, default


def _is_binary(parameters: Any, name: str, default: bool, owner: str) -> bool:
    if name not in parameters:
        return default
    if parameters[name].WhichOneof("parameter_choice") != "bool_param":
        raise InvalidArgument(
            f"Expected the parameter {name} of {owner} to be true or false. Received: another value"
        )
    return bool(parameters[name].bool_param)


def _objects(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    entries = document.get(key)
    if entries is None and key == "outputs":
        return []
    if type(entries) is not list or not {dict}.issuperset(map(type, entries)):
        raise unexpected(f"Expected {key!r} to be a list of objects.", entries)
    return entries


def _text(entry: dict[str, Any], key: str, owner: str, needed: bool = False) -> str:
    """A string that a message can hold; null is the same as none."""
    value = entry.get(key)
    if value is None and not needed:
        return ""
    if type(value) is not str:
        raise unexpected(f"Expected {key!r} of {owner} to be a string.", value)
    return json_text.encode(value).decode("utf-8", "replace")


def _shape(entry: dict[str, Any], tensor: str) -> list[int]:
    shape = entry.get("shape")
    if type(shape) is not list or not all(type(n) is int and 0 <= n < 2**63 for n in shape):
        expected = f"Expected the shape of {tensor} as a list of sizes from 0 to 2^63 - 1."
        raise unexpected(expected, shape, "shape=")
    return shape


def _binary_size(target: Any, entry: dict[str, Any], tensor: str, left: int) -> int:
    parameter = target.parameters["binary_data_size"]
    size: int = parameter.int64_param
    if parameter.WhichOneof("parameter_choice") != "int64_param" or not 0 <= size <= left:
        raise unexpected(
            f"Expected the parameter binary_data_size of {tensor} to be an integer from 0 to "
            f"{left}, the bytes that are left behind the JSON.",
            entry["parameters"]["binary_data_size"],
        )
    if entry.get("data") is not None:
        raise InvalidArgument(f"Expected data or binary_data_size for {tensor}. Received: both")
    return size


def _fill_parameters(target: Any, entry: dict[str, Any], owner: str) -> None:
    parameters = entry.get("parameters")
    if parameters is None:
        return
    if type(parameters) is not dict:
        raise unexpected(f"Expected the parameters of {owner} to be an object.", parameters)
    for name, value in parameters.items():
        if value is None:
            continue
        parameter = target[json_text.encode(name).decode("utf-8", "replace")]
        if type(value) is bool:
            parameter.bool_param = value
        elif type(value) is str:
            parameter.string_param = json_text.encode(value).decode("utf-8", "replace")
        elif type(value) is int and -(2**63) <= value < 2**63:
            parameter.int64_param = value
        elif type(value) is int and 0 <= value < 2**64:
            parameter.uint64_param = value
        elif type(value) is float:
            parameter.double_param = value
        else:
            raise unexpected(
                f"Expected the parameter {name:.80} of {owner} to be a string, a number of 64 "
                "bits, true or false.",
                value,
            )
