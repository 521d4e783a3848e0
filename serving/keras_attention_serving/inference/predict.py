"""Predict: the checks of its request, and its response.

Knows a loaded model and messages, but no versions, transports or other methods. The texts of the
errors are TensorFlow Serving's.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from keras_attention_serving import errors
from keras_attention_serving.inference.inference import Inference
from keras_attention_serving.inference.large_response import LargeResponse
from keras_attention_serving.inference.model import (
    CLASSIFY_METHOD,
    PREDICT_METHOD,
    REGRESS_METHOD,
    Model,
    set_model_spec,
    signature_name,
)
from keras_attention_serving.protocol import tensors, wire
from keras_attention_serving.protocol.tensors import Array

LARGE = 1 << 18  # bytes of outputs that take long to serialize
_METHODS = (PREDICT_METHOD, CLASSIFY_METHOD, REGRESS_METHOD)


def predict(
    model: Model,
    version: int,
    request: wire.PredictRequest,
    check_method_name: bool = False,
    tensor_content: bool = False,
) -> Inference:
    """Inference of a `PredictRequest`; its response is a `PredictResponse`, or a large one.

    Shapes are not compared with the signature.

    Args:
        model: the loaded model.
        version: its number, for the response.
        request: a `PredictRequest`; the name and version in it are ignored.
        check_method_name: refuse signatures that were made for an unknown method.
        tensor_content: respond with numbers as raw bytes instead of in typed fields.

    Raises:
        errors.ServingError: the request does not fit the model.
    """
    key = signature_name(request.model_spec)
    if key not in model.signatures:
        raise errors.FailedPrecondition(f'Serving signature key "{key}" not found.')
    signature = model.signatures[key]
    if check_method_name:
        check_method(signature)
    feeds = _feeds(signature, request.inputs)
    outputs = _outputs(signature, request.output_filter)

    def respond(arrays: list[Array]) -> Any:
        response = wire.PredictResponse()
        set_model_spec(response.model_spec, request.model_spec, version)
        if sum(map(tensors.nbytes, arrays)) > LARGE:
            by_name = dict(zip(outputs, arrays, strict=True))
            return LargeResponse(response, by_name, typed=not tensor_content)
        for alias, array in zip(outputs, arrays, strict=True):
            response.outputs[alias].CopyFrom(tensors.to_proto(array, typed=not tensor_content))
        return response

    return Inference(feeds, [signature.outputs[alias].name for alias in outputs], respond)


def check_method(signature: wire.SignatureDef) -> None:
    """Raises `errors.InvalidArgument` for a signature that was made for an unknown method."""
    if signature.method_name not in _METHODS:
        raise errors.InvalidArgument(
            f"Expected prediction signature method_name to be one of {{{', '.join(_METHODS)}}}. "
            f"Was: {signature.method_name}"
        )


def _feeds(
    signature: wire.SignatureDef, inputs: Mapping[str, wire.TensorProto]
) -> dict[str, Array]:
    """Arrays by the tensor names of the signature; its defaults replace missing inputs."""
    wanted, sent = set(signature.inputs), set(inputs)
    if len(sent) > len(wanted) or (len(sent) < len(wanted) and not signature.defaults):
        raise errors.InvalidArgument(
            f"input size does not match signature: {len(sent)}!={len(wanted)} "
            f"len({_braced(sent)}) != len({_braced(wanted)}). Sent extra: "
            f"{_braced(sent - wanted)}. Missing but required: {_braced(wanted - sent)}."
        )
    feeds = {}
    for alias in sorted(wanted):
        name = signature.inputs[alias].name
        if alias not in sent and alias not in signature.defaults:
            raise errors.InvalidArgument(
                f"Signature input alias: {alias}(feed name: {name}) not found in request and no "
                f"default value provided. Inputs expected to be in the request {_braced(sent)}, "
                f"or default input alias set: {','.join(sorted(signature.defaults))}"
            )
        try:
            feeds[name] = tensors.to_array((inputs if alias in sent else signature.defaults)[alias])
        except ValueError:
            raise errors.InvalidArgument(f"tensor parsing error: {alias}") from None
    if sent - wanted:
        raise errors.InvalidArgument(
            "Inputs contains invalid name. Used request inputs: "
            f"{','.join(sorted(sent & wanted))}, request input: {','.join(sorted(sent))}"
        )
    return feeds


def _outputs(signature: wire.SignatureDef, output_filter: Iterable[str]) -> list[str]:
    chosen: list[str] = []
    for alias in output_filter:
        if alias not in signature.outputs:
            raise errors.InvalidArgument(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in "
                f"the set {_braced(signature.outputs)}."
            )
        if alias in chosen:
            raise errors.InvalidArgument(f"duplicate output tensor alias: {alias}")
        chosen.append(alias)
    return chosen or sorted(signature.outputs)


def _braced(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
