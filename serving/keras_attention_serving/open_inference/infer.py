"""ModelInfer of the Open Inference Protocol: the checks of its request, and its response.

Knows a loaded model and messages, but no versions or transports.
"""

from collections.abc import Iterable
from typing import Any

from keras_attention_serving.errors import InvalidArgument
from keras_attention_serving.inference.inference import Inference
from keras_attention_serving.inference.model import Model
from keras_attention_serving.inference.predict import check_method
from keras_attention_serving.open_inference import contents, datatypes, messages
from keras_attention_serving.protocol import tensors, wire
from keras_attention_serving.protocol.tensors import Array

INITIALIZER = "__saved_model_init_op"  # listed among the signatures, but not to be called
_LARGEST_VERSION = 2**63 - 1
_MANY = 50  # names in the text of an error at most
# Parameters of Triton that change the meaning of a tensor.
_UNKNOWN_SOURCES = {"shared_memory_region"}
_UNKNOWN_RESULTS = {"shared_memory_region", "classification"}


def model_spec(name: str, version: str, signature: str = "") -> wire.ModelSpec:
    """The `ModelSpec` of a request; raises `errors.InvalidArgument`."""
    if not name:
        raise InvalidArgument("Expected the name of a model. Received: an empty one")
    spec = wire.ModelSpec(name=name, signature_name=signature)
    if version:
        digits = version.lstrip("0") or "0"
        number = int(digits) if len(digits) <= 19 and digits.isdecimal() else -1
        if not (version.isascii() and 0 <= number <= _LARGEST_VERSION):
            raise InvalidArgument(
                f"Expected the version of a model as a number. Received: version={version:.80}"
            )
        spec.version.value = number
    return spec


def spec_of(request: messages.ModelInferRequest) -> wire.ModelSpec:
    """The `ModelSpec` of a `ModelInferRequest`; raises `errors.InvalidArgument`."""
    signature = ""
    if "signature_name" in request.parameters:
        parameter = request.parameters["signature_name"]
        if parameter.WhichOneof("parameter_choice") != "string_param":
            raise InvalidArgument(
                "Expected the parameter signature_name to be a string. "
                f"Received: {parameter.WhichOneof('parameter_choice')}"
            )
        signature = parameter.string_param
    return model_spec(request.model_name, request.model_version, signature)


def find_signature(model: Model, name: str) -> wire.SignatureDef:
    """The signature of that name, `serving_default` if it is empty; raises `InvalidArgument`."""
    key = name or wire.DEFAULT_SIGNATURE
    if key not in model.signatures or key == INITIALIZER:
        raise InvalidArgument(
            "Expected the parameter signature_name to be one of "
            f"{_listed(set(model.signatures) - {INITIALIZER})}. Received: {key:.80}"
        )
    return model.signatures[key]


def infer(
    model: Model, version: int, request: messages.ModelInferRequest, check_method_name: bool = False
) -> Inference:
    """Inference of a `ModelInferRequest`; its response is a `ModelInferResponse`.

    Shapes are not compared with the signature, as with Predict.

    Args:
        model: the loaded model.
        version: its number, for the response.
        request: a `ModelInferRequest`; the name and version in it are ignored.
        check_method_name: refuse signatures that were made for an unknown method.

    Raises:
        errors.ServingError: the request does not fit the model.
    """
    signature = find_signature(model, spec_of(request).signature_name)
    if check_method_name:
        check_method(signature)
    _check_names(signature, [tensor.name for tensor in request.inputs])
    feeds = _feeds(signature, _arrays(request))
    outputs = _outputs(signature, request.outputs)
    typed = any(tensor.HasField("contents") for tensor in request.inputs)

    def respond(arrays: list[Array]) -> messages.ModelInferResponse:
        response = messages.ModelInferResponse(
            model_name=request.model_name, model_version=str(version), id=request.id
        )
        datatypes_of_outputs = [
            datatypes.by_number(tensors.data_type(array.dtype), f"output {alias!r}")
            for alias, array in zip(outputs, arrays, strict=True)
        ]
        in_fields = typed and all(datatype.field for datatype in datatypes_of_outputs)
        for alias, datatype, array in zip(outputs, datatypes_of_outputs, arrays, strict=True):
            output = response.outputs.add(name=alias, datatype=datatype.name, shape=array.shape)
            if in_fields:
                contents.fill_fields(output.contents, array, datatype)
            else:
                response.raw_output_contents.append(contents.to_raw(array))
        return response

    return Inference(feeds, [signature.outputs[alias].name for alias in outputs], respond)


def _check_names(signature: wire.SignatureDef, names: list[str]) -> None:
    """Raises `errors.InvalidArgument` if inputs are missing, unknown or given twice.

    To be called before any of them is read, because a request may hold any number of them.
    """
    known = set(signature.inputs)
    optional = known & set(signature.defaults)
    if not known - optional <= set(names) <= known or len(set(names)) < len(names):
        raise InvalidArgument(
            f"Expected the inputs {_listed(known - optional)}"
            f"{f' and perhaps {_listed(optional)}' if optional else ''}, each once. "
            f"Received: {_listed(names)}"
        )


def _arrays(request: messages.ModelInferRequest) -> dict[str, tuple[Array, datatypes.Datatype]]:
    """Values and datatypes by the names of the inputs."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidArgument(
            f"Expected raw_input_contents for each of {len(request.inputs)} inputs, or for none. "
            f"Received: {len(raw)}"
        )
    arrays: dict[str, tuple[Array, datatypes.Datatype]] = {}
    for i, tensor in enumerate(request.inputs):
        name = f"input {tensor.name!r}"
        _refuse(tensor.parameters, _UNKNOWN_SOURCES, name)
        if raw and tensor.HasField("contents"):
            raise InvalidArgument(
                f"Expected {name} in raw_input_contents alone. Received: contents as well"
            )
        datatype = datatypes.by_name(tensor.datatype, name)
        if raw:
            array = contents.from_raw(raw[i], tensor.shape, datatype, name)
        else:
            array = contents.from_fields(tensor.contents, tensor.shape, datatype, name)
        arrays[tensor.name] = array, datatype
    return arrays


def _feeds(
    signature: wire.SignatureDef, arrays: dict[str, tuple[Array, datatypes.Datatype]]
) -> dict[str, Array]:
    """Arrays by the tensor names of the signature; its defaults replace missing inputs."""
    feeds = {}
    for alias, info in sorted(signature.inputs.items()):
        if alias not in arrays:
            feeds[info.name] = tensors.to_array(signature.defaults[alias])
            continue
        feeds[info.name], datatype = arrays[alias]
        if info.dtype and datatype.number != info.dtype:  # some TensorFlow Lite models state none
            raise InvalidArgument(
                f"Expected input {alias!r} of datatype {datatypes.shown(info.dtype)}. "
                f"Received: datatype={datatype.name}"
            )
    return feeds


def _outputs(signature: wire.SignatureDef, requested: Iterable[Any]) -> list[str]:
    """The names of the requested outputs; by default of all."""
    chosen: list[str] = []
    for output in requested:
        name = f"output {output.name!r:.80}"
        _refuse(output.parameters, _UNKNOWN_RESULTS, name)
        if output.name not in signature.outputs:
            raise InvalidArgument(
                f"Expected outputs among {_listed(signature.outputs)}. Received: {output.name:.80}"
            )
        if output.name in chosen:
            raise InvalidArgument(f"Expected {name} once. Received: it twice")
        chosen.append(output.name)
    chosen = chosen or sorted(signature.outputs)
    for alias in chosen:  # before anything is run for them
        if number := signature.outputs[alias].dtype:
            datatypes.by_number(number, f"output {alias!r}")
    return chosen


def _refuse(parameters: Any, unknown: set[str], tensor: str) -> None:
    for name in sorted(unknown.intersection(parameters)):
        raise InvalidArgument(
            f"Expected {tensor} without the parameter {name}, which is not supported. "
            f"Received: {name}"
        )


def _listed(names: Iterable[str]) -> str:
    listed = sorted(names)
    shown = ", ".join(f"{name:.80}" for name in listed[:_MANY]) or "none"
    return shown if len(listed) <= _MANY else f"{shown} and {len(listed) - _MANY} more"
