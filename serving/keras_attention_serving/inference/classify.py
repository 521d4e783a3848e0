"""Classify: from examples to the labels and scores of their classes.

The signature has one input, `inputs`, for serialized examples, and `classes` `(n, c)` of strings,
`scores` `(n, c)` of float32, or both. The texts of the errors are TensorFlow Serving's.
"""

from collections.abc import Mapping

from keras_attention_serving import errors
from keras_attention_serving.inference import examples
from keras_attention_serving.inference.inference import Inference
from keras_attention_serving.inference.model import (
    CLASSIFY_METHOD,
    Model,
    find_signature,
    set_model_spec,
    shape_text,
    type_name,
)
from keras_attention_serving.protocol import tensors, wire
from keras_attention_serving.protocol.tensors import DT_FLOAT, DT_STRING, Array


def classify(
    model: Model,
    version: int,
    request: wire.ClassificationRequest,
    check_method_name: bool = False,
) -> Inference:
    """Inference of a `ClassificationRequest`; its response is a `ClassificationResponse`.

    Args:
        model: the loaded model.
        version: its number, for the response.
        request: a `ClassificationRequest`; the name and version in it are ignored.
        check_method_name: refuse signatures that were not made for Classify.

    Raises:
        errors.ServingError: the request does not fit the model.
    """
    signature = find_signature(model, request.model_spec)
    check_signature(signature, check_method_name)
    serialized = examples.serialized(request.input)
    fetches = outputs(signature)

    def respond(arrays: list[Array]) -> wire.ClassificationResponse:
        response = wire.ClassificationResponse()
        set_model_spec(response.model_spec, request.model_spec, version)
        results = dict(zip(fetches, arrays, strict=True))
        fill(response.result, signature, len(serialized), results)
        return response

    return Inference({signature.inputs["inputs"].name: serialized}, fetches, respond)


def check_signature(signature: wire.SignatureDef, check_method_name: bool) -> None:
    """Raises `errors.ServingError` if a signature cannot classify."""
    if check_method_name and signature.method_name != CLASSIFY_METHOD:
        raise errors.InvalidArgument(
            f"Expected classification signature method_name to be {CLASSIFY_METHOD}. "
            f"Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise errors.InvalidArgument("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise errors.InvalidArgument(
            f"Expected one or two output Tensors, found {len(signature.outputs)}"
        )
    if "inputs" not in signature.inputs:
        raise errors.FailedPrecondition(
            f"No classification inputs found in SignatureDef: {signature}"
        )
    if not outputs(signature):
        raise errors.FailedPrecondition(
            "Expected classification signature outputs to contain at least one of "
            f'"classes" or "scores". Signature was: {signature}'
        )


def outputs(signature: wire.SignatureDef) -> list[str]:
    """Names of the tensors to compute."""
    return [
        signature.outputs[alias].name
        for alias in ("classes", "scores")
        if alias in signature.outputs
    ]


def fill(
    result: wire.ClassificationResult,
    signature: wire.SignatureDef,
    count: int,
    arrays: Mapping[str, Array],
) -> None:
    """Fills a `ClassificationResult` for so many examples from arrays by tensor name."""
    outputs_by_alias = {
        alias: arrays[signature.outputs[alias].name]
        for alias in ("classes", "scores")
        if alias in signature.outputs
    }
    for alias, dtype in (("classes", DT_STRING), ("scores", DT_FLOAT)):
        if alias in outputs_by_alias:
            _check(alias, outputs_by_alias[alias], dtype, count)
    classes, scores = outputs_by_alias.get("classes"), outputs_by_alias.get("scores")
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise errors.InvalidArgument(
            "Tensors class and score should match in dim_size(1). "
            f"Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    for row in range(count):
        labels = _labels(classes[row]) if classes is not None else None
        numbers = scores[row].tolist() if scores is not None else None
        entry = result.classifications.add()
        for column in range(len(labels or numbers or ())):
            label_and_score = entry.classes.add()
            if labels is not None:
                label_and_score.label = labels[column]
            if numbers is not None:
                label_and_score.score = numbers[column]


def _check(alias: str, array: Array, dtype: int, count: int) -> None:
    if array.ndim != 2:
        raise errors.InvalidArgument(
            f"Expected Tensor shape: [batch_size num_classes] but got {shape_text(array)}"
        )
    number = tensors.data_type(array.dtype)
    if number != dtype:
        raise errors.InvalidArgument(
            f"Expected {alias} Tensor of {type_name(dtype)}. Got: {type_name(number)}"
        )
    if array.shape[0] != count:
        raise errors.InvalidArgument(
            f"Expected {alias} output batch size of {count}. Got: {array.shape[0]}"
        )


def _labels(row: Array) -> list[str]:
    # A label that is not UTF-8 cannot be in a message.
    return [label.decode(errors="replace") for label in row]
