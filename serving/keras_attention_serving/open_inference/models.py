"""States and metadata of a server and its models in the Open Inference Protocol."""

from collections.abc import Callable
from importlib import metadata
from typing import Any

from keras_attention_serving.open_inference import datatypes, messages
from keras_attention_serving.open_inference.infer import find_signature, model_spec
from keras_attention_serving.versions.model_manager import Servables
from keras_attention_serving.versions.model_versions import State, not_found

NAME = "keras_attention_serving"
EXTENSIONS = ("binary_tensor_data", "parameters")


class Models:
    """The methods of `GRPCInferenceService` that run no model.

    Every method takes a request message, and the seconds that are left for it; returns a response
    message and raises `errors.ServingError`.

    Args:
        servables: the models.
    """

    def __init__(self, servables: Servables) -> None:
        self._servables = servables

    def methods(self) -> dict[str, tuple[Callable[[Any, float | None], Any], Any]]:
        """Methods and their request messages by path."""
        return {
            f"/{messages.SERVICE}/ServerLive": (self.server_live, messages.ServerLiveRequest),
            f"/{messages.SERVICE}/ServerReady": (self.server_ready, messages.ServerReadyRequest),
            f"/{messages.SERVICE}/ModelReady": (self.model_ready, messages.ModelReadyRequest),
            f"/{messages.SERVICE}/ServerMetadata": (
                self.server_metadata,
                messages.ServerMetadataRequest,
            ),
            f"/{messages.SERVICE}/ModelMetadata": (
                self.model_metadata,
                messages.ModelMetadataRequest,
            ),
        }

    def names(self) -> list[str]:
        """Names of the models of the configuration."""
        return self._servables.names()

    def check_known(self, name: str, version: str) -> None:
        """Raises `errors.NotFound` if there has never been a model of that name."""
        spec = model_spec(name, version)
        if self._servables.get(name) is None:
            raise not_found(name, spec.version.value if version else None)

    def server_live(self, request: Any, timeout: float | None = None) -> Any:
        return messages.ServerLiveResponse(live=True)

    def server_ready(self, request: Any, timeout: float | None = None) -> Any:
        return messages.ServerReadyResponse(ready=self._servables.is_ready())

    def model_ready(self, request: Any, timeout: float | None = None) -> Any:
        spec = model_spec(request.name, request.version)
        number = spec.version.value if request.version else None
        servable = self._servables.get(request.name)
        ready = servable is not None and servable.is_ready(number)
        return messages.ModelReadyResponse(ready=ready)

    def server_metadata(self, request: Any, timeout: float | None = None) -> Any:
        try:
            version = metadata.version("keras-attention-serving")
        except metadata.PackageNotFoundError:  # run from a checkout that nobody has installed
            version = "unknown"
        return messages.ServerMetadataResponse(name=NAME, version=version, extensions=EXTENSIONS)

    def model_metadata(
        self, request: Any, timeout: float | None = None, signature_name: str = ""
    ) -> Any:
        """Inputs and outputs of a signature, `serving_default` unless another one is named."""
        spec = model_spec(request.name, request.version)
        number = spec.version.value if request.version else None
        servable = self._servables.get(request.name)
        if servable is None:
            raise not_found(request.name, number)
        with servable.lease(number) as (_, model):
            signature = find_signature(model, signature_name)
            versions = [v.number for v in servable.versions(State.AVAILABLE)]
            return messages.ModelMetadataResponse(
                name=request.name,
                versions=map(str, sorted(versions)),
                platform=model.platform,
                inputs=_tensors(signature.inputs),
                outputs=_tensors(signature.outputs),
            )


def _tensors(infos: Any) -> list[Any]:
    return [
        messages.ModelMetadataResponse.TensorMetadata(
            name=name,
            datatype=datatypes.shown(info.dtype),
            shape=_shape(info.tensor_shape),
        )
        for name, info in sorted(infos.items())
    ]


def _shape(shape: Any) -> list[int]:
    """Sizes, -1 for any; a shape of any rank has none to name, and is told as `[-1]`."""
    return [-1] if shape.unknown_rank else [max(-1, dim.size) for dim in shape.dim]
