"""MultiInference: several Classify and Regress tasks on the same examples, in one run."""

from typing import Any

from keras_attention_serving import errors
from keras_attention_serving.inference import classify, examples, regress
from keras_attention_serving.inference.inference import Inference
from keras_attention_serving.inference.model import (
    CLASSIFY_METHOD,
    REGRESS_METHOD,
    Model,
    set_model_spec,
    signature_name,
)
from keras_attention_serving.protocol import wire
from keras_attention_serving.protocol.tensors import Array

_METHODS: dict[str, tuple[Any, str]] = {
    CLASSIFY_METHOD: (classify, "classification_result"),
    REGRESS_METHOD: (regress, "regression_result"),
}


def multi_inference(
    model: Model,
    version: int,
    request: wire.MultiInferenceRequest,
    check_method_name: bool = False,
) -> Inference:
    """Inference of a `MultiInferenceRequest`; its response is a `MultiInferenceResponse`."""
    signatures = _signatures(model, request, check_method_name)
    names: set[str] = set()
    for task, signature in zip(request.tasks, signatures, strict=True):
        method, _ = _METHODS[task.method_name]
        names.update(method.outputs(signature))
    fetches = sorted(names)
    serialized = examples.serialized(request.input)

    def respond(arrays: list[Array]) -> wire.MultiInferenceResponse:
        outputs = dict(zip(fetches, arrays, strict=True))
        response = wire.MultiInferenceResponse()
        for task, signature in zip(request.tasks, signatures, strict=True):
            method, field = _METHODS[task.method_name]
            result = response.results.add()
            set_model_spec(result.model_spec, task.model_spec, version)
            getattr(result, field).SetInParent()
            method.fill(getattr(result, field), signature, len(serialized), outputs)
        return response

    # SavedModels of TensorFlow 2 have an input for each signature: each is fed the examples.
    feeds = {signature.inputs["inputs"].name: serialized for signature in signatures}
    return Inference(feeds, fetches, respond)


def _signatures(
    model: Model, request: wire.MultiInferenceRequest, check_method_name: bool
) -> list[wire.SignatureDef]:
    """The signature of each task; raises `errors.ServingError` if they cannot be run together."""
    signatures: dict[str, Any] = {}
    for task in request.tasks:
        if not task.model_spec.name:
            raise errors.InvalidArgument("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise errors.InvalidArgument(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        name = signature_name(task.model_spec)
        if name in signatures:
            raise errors.InvalidArgument(f"Duplicate evaluation of signature: {name}")
        if name not in model.signatures:
            raise errors.InvalidArgument(f"Requested signature not found in model graph: {name}")
        if task.method_name not in _METHODS:
            raise errors.Unimplemented(f"Unsupported signature method_name: {task.method_name}")
        signatures[name] = model.signatures[name]
        method, _ = _METHODS[task.method_name]
        method.check_signature(signatures[name], check_method_name)
    return list(signatures.values())
