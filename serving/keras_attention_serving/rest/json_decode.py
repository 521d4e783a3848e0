"""Requests from JSON: TensorProtos by the dtypes of a signature, Examples by the types of values.

The texts of the errors are TensorFlow Serving's, including their misspellings.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from keras_attention_serving.errors import InvalidArgument, Unimplemented, status_text
from keras_attention_serving.protocol import wire
from keras_attention_serving.rest import json_pieces, json_values
from keras_attention_serving.rest.json_text import LARGE, debug, encode, parse, type_name
from keras_attention_serving.rest.json_values import Tensor, is_base64, malformed

_CHECK_EVERY = 1 << 10

Lookup = Callable[[], Mapping[str, Any]]


def fill_predict(
    request: wire.PredictRequest,
    data: bytes,
    lookup: Lookup,
    check: Callable[[], object] = lambda: None,
) -> bool:
    """Reads a `PredictRequest` from the body of a predict call.

    Args:
        request: the message, which gets the signature name and the inputs.
        data: the body.
        lookup: the inputs, as `TensorInfo`s, of the signature that `request` then names.
        check: called now and then; reading ends if it raises.

    Returns:
        True if the body is in row format (`instances`), so that the response must be, too.

    Raises:
        errors.ServingError: the body is wrong, or `lookup` raised it.
    """
    document = parse(data)
    try:
        check()
        return _fill_predict(request, document, lookup, check)
    finally:
        if len(data) > LARGE:
            json_pieces.discard(document)


def _fill_predict(
    request: Any, document: dict[str, Any], lookup: Lookup, check: Callable[[], object]
) -> bool:
    _fill_signature(request, document)
    signature = request.model_spec.signature_name
    infos = lookup()
    if not infos:
        raise InvalidArgument(
            f"Failed to get input map for signature: {signature if signature else 'DEFAULT'}"
        )
    if "instances" not in document:
        if "inputs" not in document:
            raise InvalidArgument("Missing 'inputs' or 'instances' key")
        _fill_columns(request.inputs, document["inputs"], infos)
        return False
    instances = document["instances"]
    if "inputs" in document:
        raise malformed(
            document,
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        )
    if type(instances) is not list:
        raise malformed(document, "Excepting 'instances' to be an list/array")
    if not instances:
        raise malformed(document, "No values in 'instances' array")
    _fill_rows(request.inputs, instances, infos, check)
    return True


def fill_examples(
    request: wire.ClassificationRequest | wire.RegressionRequest, data: bytes
) -> None:
    """Reads a `ClassificationRequest` or `RegressionRequest` from the body of such a call.

    Raises `errors.InvalidArgument`.
    """
    document = parse(data)
    _fill_signature(request, document)
    with_context = request.input.example_list_with_context
    if "context" in document:
        with_context.SetInParent()
        _fill_example(with_context.context, document["context"])
    if "examples" not in document:
        raise malformed(
            document, "When method is classify, key 'examples' is expected and was not found"
        )
    examples = document["examples"]
    if type(examples) is not list:
        raise malformed(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise malformed(document, "'examples' value is an empty array")
    target = with_context if "context" in document else request.input.example_list
    for example in examples:
        _fill_example(target.examples.add(), example)


def _fill_signature(request: Any, document: dict[str, Any]) -> None:
    name = document.get("signature_name", "")
    if type(name) is not str:
        raise malformed(
            document, "not formatted correctly. 'signature_name' key must be a string value."
        )
    request.model_spec.signature_name = _readable(name)


def _readable(name: str) -> str:
    """Makes a name that a message can hold."""
    return encode(name).decode("utf-8", "replace")


def _fill_columns(inputs: Any, value: Any, infos: Mapping[str, wire.TensorInfo]) -> None:
    if type(value) is dict and not is_base64(value):
        for name, info in sorted(infos.items()):
            if name not in value:
                raise InvalidArgument(f"Missing named input: {name} in 'inputs' object.")
            json_values.fill(inputs[name], value[name], info.dtype)
        return
    if len(infos) > 1:
        raise InvalidArgument(
            "inputs is a plain value/list, but expecting an object as multiple input tensors "
            "required as per tensorinfo_map"
        )
    ((name, info),) = infos.items()
    json_values.fill(inputs[name], value, info.dtype)


def _fill_rows(
    inputs: Any,
    instances: list[Any],
    infos: Mapping[str, wire.TensorInfo],
    check: Callable[[], object],
) -> None:
    first = instances[0]
    if type(first) is not dict and len(infos) > 1:
        raise InvalidArgument(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    columns: dict[str, list[Any]] = {}
    if type(first) is dict and not is_base64(first):
        names = set(infos)
        if all(type(row) is dict and row.keys() == names for row in instances):
            columns = {name: [row[name] for row in instances] for name in infos}
    else:
        columns = {min(infos): instances}
    fast = {
        name: json_values.all_at_once(column, infos[name].dtype) for name, column in columns.items()
    }
    if not fast or None in fast.values():
        fast = _one_by_one(instances, infos, check)
    for name, tensor in fast.items():
        if tensor is not None:
            json_values.write(inputs[name], *tensor, infos[name].dtype)


def _one_by_one(
    instances: list[Any], infos: Mapping[str, Any], check: Callable[[], object]
) -> dict[str, Tensor | None]:
    objects = type(instances[0]) is dict and not is_base64(instances[0])
    shapes: dict[str, list[int]] = {}
    values: dict[str, list[Any]] = {}

    def add(name: str, item: Any) -> None:
        if name not in infos:
            raise InvalidArgument(f"JSON object: does not have named input: {name}")
        shape, row = json_values.shape_of(item), values.setdefault(name, [])
        before = len(row)
        json_values.collect(item, 0, shape, infos[name].dtype, row)
        expected = shapes.setdefault(name, shape)
        size, got = math.prod(expected), len(row) - before
        if got != size:
            raise InvalidArgument(f"Expecting tensor size: {size} but got: {got}")
        if shape != expected:
            raise InvalidArgument(
                f"Expecting shape {_bracketed(expected)} but got: {_bracketed(shape)}"
            )

    for i, item in enumerate(instances):
        if i % _CHECK_EVERY == 0:
            check()
        is_object = type(item) is dict and not is_base64(item)
        if objects and not is_object:
            raise InvalidArgument(f"Expecting object but got list at item {i} of input list")
        if is_object and not objects:
            raise InvalidArgument(f"Expecting value/list but got object at item {i} of input list")
        for name, member in item.items() if objects else [(min(infos), item)]:
            try:
                add(name, member)
            except (InvalidArgument, Unimplemented) as error:
                key = f" key: {name}" if objects else ""
                failed = f"Failed to process element: {i}{key} of 'instances' list. "
                raise InvalidArgument(
                    f"{failed}Error: {status_text(error)}", f"{failed}Error: {error.log_text}"
                ) from None
        if objects and item.keys() != set(infos):
            failed = f"Failed to process element: {i} of 'instances' list. "
            wanted = f"keys must be equal to: {','.join(sorted(infos))}"
            raise InvalidArgument(
                f"{failed}JSON object: {debug(item)} {wanted}", f"{failed}JSON object: ... {wanted}"
            )
    return {
        name: ([len(instances), *shapes[name]], json_values.to_array(row, infos[name].dtype))
        for name, row in values.items()
    }


def _bracketed(shape: list[int]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


def _fill_example(example: wire.Example, value: Any) -> None:
    if type(value) is not dict:
        raise InvalidArgument(f"Example must be JSON object but got JSON {type_name(value)}")
    example.SetInParent()
    for name, content in value.items():
        feature = example.features.feature[_readable(name)]
        for item in content if type(content) is list else [content]:
            _add_to_feature(feature, name, item)


_FEATURES = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def _add_to_feature(feature: wire.Feature, name: str, value: Any) -> None:
    kind = type(value)
    target: str
    item: Any
    if kind is str:
        target, item = "bytes_list", encode(value)
    elif kind is dict and is_base64(value):
        target, item = "bytes_list", json_values.decode_base64(value)
    elif kind is float or kind is int and not -(2**63) <= value < 2**64:
        target, item = "float_list", value
    elif kind in (bool, int):
        target, item = "int64_list", int(value)
    else:
        raise InvalidArgument(
            f"Feature: {name} has element with unexpected JSON type: {type_name(value)}"
        )
    present = feature.WhichOneof("kind")
    if present not in (None, target):
        raise InvalidArgument(
            f"Unexpected element type in feature: {name} expecting type: {_FEATURES[present]}"
        )
    if target == "float_list":
        item = json_values.decimal(value, json_values.FLOAT)
    elif target == "int64_list" and item >= 2**63:
        raise InvalidArgument(f"Feature: {name} has uint64 element. Only int64 is supported.")
    getattr(feature, target).value.append(item)
