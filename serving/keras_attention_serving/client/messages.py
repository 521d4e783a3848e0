"""Messages of a client: requests made of arguments, and results made of responses.

Nothing here knows a channel, so the blocking and the asynchronous client share all of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import ArrayLike

from keras_attention_serving import errors
from keras_attention_serving.client import optional_inputs
from keras_attention_serving.protocol import tensors, wire
from keras_attention_serving.protocol.tensors import Array

MAX_CLAIMED_BYTES = 64 << 20  # by default, of outputs
INITIALIZER = "__saved_model_init_op"  # listed among the signatures, but nothing one may call


@dataclass(frozen=True)
class TensorSpec:
    """Dtype and shape of a tensor of a signature.

    Attributes:
        dtype: NumPy's dtype, `object` for strings; None if NumPy has none for it.
        shape: sizes, None for an axis of any size; None as a whole if the rank is unknown.
    """

    dtype: np.dtype[Any] | None
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Signature:
    """A signature of a model: its inputs and outputs.

    Attributes:
        inputs: by name.
        outputs: by name.
        method_name: the kind of call that it was made for.
        defaults: values of the inputs that a request may leave out, by name.
    """

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    method_name: str
    defaults: dict[str, Array] = field(default_factory=dict, compare=False)


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
        error_message: the reason why loading failed.
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
    known: ModelMetadata | None = None,
) -> wire.PredictRequest:
    """Makes the request of a prediction; completes its inputs if the signature is known."""
    arrays = {name: _input(name, value) for name, value in inputs.items()}
    if known is not None and signature in known.signatures:
        spec = known.signatures[signature]
        shapes = {name: entry.shape for name, entry in spec.inputs.items()}
        arrays = optional_inputs.fill(arrays, shapes, spec.defaults)
    request = wire.PredictRequest(model_spec=_model_spec(model, version, label))
    request.model_spec.signature_name = signature
    for name, array in arrays.items():
        try:
            request.inputs[name].CopyFrom(tensors.to_proto(array))
        except ValueError as error:
            raise ValueError(f"Input {name!r}: {error}") from None
    request.output_filter.extend(output_filter)
    return request


def parse(kind: Any, data: bytes) -> Any:
    """Parses the bytes of a response; raises `errors.Internal` if they are malformed."""
    try:
        return kind.FromString(data)
    except DecodeError:
        raise errors.Internal(
            f"Expected a {kind.DESCRIPTOR.name} from the server. Received: {len(data)} other bytes"
        ) from None


def predict_result(response: wire.PredictResponse, limit: int | None = None) -> dict[str, Array]:
    """Arrays by the names of the outputs.

    Raises:
        errors.Internal: an output is malformed.
        errors.ResourceExhausted: outputs claim more than `limit` bytes that are not in the message.
    """
    return _arrays("output", response.outputs, limit)


def is_outdated(known: ModelMetadata, response: wire.PredictResponse) -> bool:
    """True if the response is of another version than the one whose signatures are known."""
    return bool(known.version != response.model_spec.version.value)


def metadata_request(
    model: str, version: int | None, label: str | None
) -> wire.GetModelMetadataRequest:
    spec = _model_spec(model, version, label)
    return wire.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])


def metadata_result(response: wire.GetModelMetadataResponse) -> ModelMetadata:
    """Metadata of a model from a response; raises `errors.Internal` if it is malformed."""
    signatures = wire.SignatureDefMap()
    packed = response.metadata["signature_def"]
    try:
        sound = packed.Unpack(signatures)
    except DecodeError:
        sound = False
    if not sound:
        raise errors.Internal(
            "Expected a SignatureDefMap in the metadata 'signature_def'. "
            f"Received: {len(packed.value)} bytes of type {packed.type_url!r}"
        )
    return ModelMetadata(
        response.model_spec.name,
        response.model_spec.version.value,
        {
            name: Signature(
                _tensor_specs(signature.inputs),
                _tensor_specs(signature.outputs),
                signature.method_name,
                _arrays("default of input", signature.defaults, MAX_CLAIMED_BYTES),
            )
            for name, signature in sorted(signatures.signature_def.items())
            if name != INITIALIZER
        },
    )


def status_request(model: str, version: int | None) -> wire.GetModelStatusRequest:
    return wire.GetModelStatusRequest(model_spec=_model_spec(model, version, None))


def status_result(response: wire.GetModelStatusResponse) -> list[VersionStatus]:
    """The states of the versions of a model; raises `errors.Internal` for an unknown state."""
    return [
        VersionStatus(
            entry.version,
            _state_name(entry),
            entry.status.error_code,
            entry.status.error_message,
        )
        for entry in response.model_version_status
    ]


def _state_name(entry: wire.ModelVersionStatus) -> str:
    try:
        return str(wire.ModelVersionStatus.State.Name(entry.state))
    except ValueError:
        raise errors.Internal(
            f"Expected a state of version {entry.version}. Received: state={entry.state}"
        ) from None


def _input(name: str, value: ArrayLike) -> Array:
    try:
        return tensors.as_array(value)
    except ValueError as error:
        raise ValueError(f"Input {name!r}: {error}") from None


def _arrays(
    what: str, protos: Mapping[str, wire.TensorProto], limit: int | None
) -> dict[str, Array]:
    arrays, claimed = {}, 0
    for name, proto in sorted(protos.items()):
        claimed += tensors.claimed_bytes(proto)
        if limit is not None and claimed > limit:
            raise errors.ResourceExhausted(
                f"Expected {what} {name!r} to be sent, or to claim at most {limit} "
                "bytes by its shape (max_claimed_output_bytes). "
                f"Received: {claimed} bytes that are not in the message"
            )
        try:
            arrays[name] = tensors.to_array(proto, strict=True)
        except ValueError as error:
            raise errors.Internal(f"Malformed {what} {name!r}: {error}") from None
    return arrays


def _model_spec(model: str, version: int | None, label: str | None) -> wire.ModelSpec:
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


def _tensor_specs(infos: Mapping[str, wire.TensorInfo]) -> dict[str, TensorSpec]:
    return {name: _tensor_spec(info) for name, info in sorted(infos.items())}


def _tensor_spec(info: wire.TensorInfo) -> TensorSpec:
    try:
        dtype = tensors.numpy_dtype(info.dtype)
    except ValueError:
        dtype = None
    shape = info.tensor_shape
    if shape.unknown_rank:
        return TensorSpec(dtype, None)
    return TensorSpec(dtype, tuple(None if dim.size < 0 else dim.size for dim in shape.dim))
