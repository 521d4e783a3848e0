"""Regress: from examples to one number for each.

The signature has one input, `inputs`, for serialized examples, and one output, `outputs`, of
float32, `(n,)` or `(n, 1)`. The texts of the errors are TensorFlow Serving's.
"""

from collections.abc import Mapping

from keras_attention_serving import errors
from keras_attention_serving.inference import examples
from keras_attention_serving.inference.inference import Inference
from keras_attention_serving.inference.model import (
    REGRESS_METHOD,
    Model,
    find_signature,
    set_model_spec,
    shape_text,
    type_name,
)
from keras_attention_serving.protocol import tensors, wire
from keras_attention_serving.protocol.tensors import DT_FLOAT, Array


def regress(
    model: Model,
    version: int,
    request: wire.RegressionRequest,
    check_method_name: bool = False,
) -> Inference:
    """Inference of a `RegressionRequest`; its response is a `RegressionResponse`."""
    signature = find_signature(model, request.model_spec)
    check_signature(signature, check_method_name)
    serialized = examples.serialized(request.input)
    fetches = outputs(signature)

    def respond(arrays: list[Array]) -> wire.RegressionResponse:
        response = wire.RegressionResponse()
        set_model_spec(response.model_spec, request.model_spec, version)
        results = dict(zip(fetches, arrays, strict=True))
        fill(response.result, signature, len(serialized), results)
        return response

    return Inference({signature.inputs["inputs"].name: serialized}, fetches, respond)


def check_signature(signature: wire.SignatureDef, check_method_name: bool) -> None:
    """Raises `errors.ServingError` if a signature cannot regress."""
    if check_method_name and signature.method_name != REGRESS_METHOD:
        raise errors.InvalidArgument(
            f"Expected regression signature method_name to be {REGRESS_METHOD}. "
            f"Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise errors.InvalidArgument("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise errors.InvalidArgument("Expected one output Tensor.")
    for alias, infos in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        if alias not in infos:
            raise errors.FailedPrecondition(
                f"No regression {alias} found in SignatureDef: {signature}"
            )


def outputs(signature: wire.SignatureDef) -> list[str]:
    """Names of the tensors to compute."""
    return [signature.outputs["outputs"].name]


def fill(
    result: wire.RegressionResult,
    signature: wire.SignatureDef,
    count: int,
    arrays: Mapping[str, Array],
) -> None:
    """Fills a `RegressionResult` for so many examples from arrays by tensor name."""
    array = arrays[signature.outputs["outputs"].name]
    if array.ndim != 1 and (array.ndim != 2 or array.shape[1] != 1):
        raise errors.InvalidArgument(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{shape_text(array)}"
        )
    if array.shape[0] != count:
        raise errors.InvalidArgument(
            f"Input batch size did not match output batch size: {count} vs. {array.shape[0]}"
        )
    number = tensors.data_type(array.dtype)
    if number != DT_FLOAT:
        raise errors.InvalidArgument(
            f"Expected output Tensor of DT_FLOAT.  Got: {type_name(number)}"
        )
    for value in array.reshape(-1).tolist():
        result.regressions.add(value=value)
