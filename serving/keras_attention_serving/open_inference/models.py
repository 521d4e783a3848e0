"""States and metadata of a server and its models in the Open Inference Protocol."""

from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

from keras_attention_serving.open_inference import datatypes, messages
from keras_attention_serving.open_inference.infer import find_signature, model_spec
from keras_attention_serving.protocol import wire
from keras_attention_serving.versions.model_manager import ModelManager
from keras_attention_serving.versions.model_versions import State, not_found

NAME = "keras_attention_serving"
EXTENSIONS = ("binary_tensor_data", "parameters")


class Models:
    """The methods of `GRPCInferenceService` that run no model.

    Every method takes a request message, returns a response message and raises
    `errors.ServingError`.

    Args:
        manager: the models.
    """

    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager

    def methods(self) -> Sequence[tuple[str, Callable[[Any], Any], Any]]:
        """Rows of path, method and request message."""
        prefix = f"/{messages.SERVICE}/"
        return (
            (prefix + "ServerLive", self.server_live, messages.ServerLiveRequest),
            (prefix + "ServerReady", self.server_ready, messages.ServerReadyRequest),
            (prefix + "ModelReady", self.model_ready, messages.ModelReadyRequest),
            (prefix + "ServerMetadata", self.server_metadata, messages.ServerMetadataRequest),
            (prefix + "ModelMetadata", self.model_metadata, messages.ModelMetadataRequest),
        )

    def names(self) -> list[str]:
        """Names of the models of the configuration."""
        return self._manager.names()

    def check_known(self, name: str, version: str) -> None:
        """Raises `errors.NotFound` if there has never been a model of that name."""
        spec = model_spec(name, version)
        if self._manager.get(name) is None:
            raise not_found(name, spec.version.value if version else None)

    def server_live(self, request: messages.ServerLiveRequest) -> messages.ServerLiveResponse:
        return messages.ServerLiveResponse(live=True)

    def server_ready(self, request: messages.ServerReadyRequest) -> messages.ServerReadyResponse:
        return messages.ServerReadyResponse(ready=self._manager.is_ready())

    def model_ready(self, request: messages.ModelReadyRequest) -> messages.ModelReadyResponse:
        spec = model_spec(request.name, request.version)
        number = spec.version.value if request.version else None
        model_versions = self._manager.get(request.name)
        ready = model_versions is not None and model_versions.is_ready(number)
        return messages.ModelReadyResponse(ready=ready)

    def server_metadata(
        self, request: messages.ServerMetadataRequest
    ) -> messages.ServerMetadataResponse:
        try:
            version = metadata.version("keras-attention-serving")
        except metadata.PackageNotFoundError:  # run from a checkout that is not installed
            version = "unknown"
        return messages.ServerMetadataResponse(name=NAME, version=version, extensions=EXTENSIONS)

    def model_metadata(
        self, request: messages.ModelMetadataRequest, signature_name: str = ""
    ) -> messages.ModelMetadataResponse:
        """Inputs and outputs of a signature, `serving_default` unless another one is named."""
        spec = model_spec(request.name, request.version)
        number = spec.version.value if request.version else None
        model_versions = self._manager.get(request.name)
        if model_versions is None:
            raise not_found(request.name, number)
        with model_versions.get_handle(number) as (_, model):
            signature = find_signature(model, signature_name)
            versions = [v.number for v in model_versions.versions(State.AVAILABLE)]
            return messages.ModelMetadataResponse(
                name=request.name,
                versions=map(str, sorted(versions)),
                platform=model.platform,
                inputs=_tensors(signature.inputs),
                outputs=_tensors(signature.outputs),
            )


def _tensors(
    infos: Mapping[str, wire.TensorInfo],
) -> list[messages.ModelMetadataResponse.TensorMetadata]:
    return [
        messages.ModelMetadataResponse.TensorMetadata(
            name=name,
            datatype=datatypes.shown(info.dtype),
            shape=_shape(info.tensor_shape),
        )
        for name, info in sorted(infos.items())
    ]


def _shape(shape: wire.TensorShapeProto) -> list[int]:
    """Sizes, -1 for any; `[-1]` for a shape of unknown rank, as the protocol has no word for it."""
    return [-1] if shape.unknown_rank else [max(-1, dim.size) for dim in shape.dim]
