"""What a client says and hears: requests from arguments, results from responses.

No channel here; the blocking and the asynchronous client share every line of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keras_attention_serving import tensors, wire
from keras_attention_serving.tensors import Array

INITIALIZER = "__saved_model_init_op"  # listed among the signatures, but nothing one may call


@dataclass(frozen=True)
class TensorSpec:
    """What a signature says of a tensor.

    Attributes:
        dtype: NumPy's dtype, `object` for strings; None if NumPy has none for it.
        shape: sizes, None where any size will do; None altogether if the rank is free.
    """

    dtype: np.dtype[Any] | None
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Signature:
    """One way to call a model: its inputs and outputs by name."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    method_name: str


@dataclass(frozen=True)
class ModelMetadata:
    """The signatures of one version of a model, by name."""

    name: str
    version: int
    signatures: dict[str, Signature]


@dataclass(frozen=True)
class VersionStatus:
    """The state of one version of a model.

    Attributes:
        version: its number.
        state: `"START"`, `"LOADING"`, `"AVAILABLE"`, `"UNLOADING"` or `"END"`.
        error_code: 0, or the status (see `errors`) with which loading failed.
        error_message: why it failed.
    """

    version: int
    state: str
    error_code: int
    error_message: str


def predict_request(
    model: str,
    inputs: Mapping[str, ArrayLike],
    signature: str,
    version: int | None,
    label: str | None,
    output_filter: Iterable[str],
) -> Any:
    request = wire.PredictRequest(model_spec=_model_spec(model, version, label))
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tensors.to_proto(value))
    request.output_filter.extend(output_filter)
    return request


def predict_result(response: Any) -> dict[str, Array]:
    return {name: tensors.to_array(proto) for name, proto in sorted(response.outputs.items())}


def metadata_request(model: str, version: int | None, label: str | None) -> Any:
    spec = _model_spec(model, version, label)
    return wire.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])


def metadata_result(response: Any) -> ModelMetadata:
    signatures = wire.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return ModelMetadata(
        response.model_spec.name,
        response.model_spec.version.value,
        {
            name: Signature(
                _tensor_specs(signature.inputs),
                _tensor_specs(signature.outputs),
                signature.method_name,
            )
            for name, signature in sorted(signatures.signature_def.items())
            if name != INITIALIZER
        },
    )


def status_request(model: str, version: int | None) -> Any:
    return wire.GetModelStatusRequest(model_spec=_model_spec(model, version, None))


def status_result(response: Any) -> list[VersionStatus]:
    state_name = wire.ModelVersionStatus.State.Name
    return [
        VersionStatus(
            entry.version,
            state_name(entry.state),
            entry.status.error_code,
            entry.status.error_message,
        )
        for entry in response.model_version_status
    ]


def _model_spec(model: str, version: int | None, label: str | None) -> Any:
    if version is not None and label is not None:
        raise ValueError(
            f"Expected a version or a label, not both. Received: version={version}, label={label!r}"
        )
    spec = wire.ModelSpec(name=model)
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label
    return spec


def _tensor_specs(infos: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {name: _tensor_spec(info) for name, info in sorted(infos.items())}


def _tensor_spec(info: Any) -> TensorSpec:
    try:
        dtype = tensors.numpy_dtype(info.dtype)
    except ValueError:
        dtype = None
    shape = info.tensor_shape
    if shape.unknown_rank:
        return TensorSpec(dtype, None)
    return TensorSpec(dtype, tuple(None if dim.size < 0 else dim.size for dim in shape.dim))
