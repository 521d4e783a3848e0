"""What the server can do, apart from how it is reached: one method per RPC, messages in and out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keras_attention_serving import errors, wire
from keras_attention_serving.predict import predict
from keras_attention_serving.runtime import SavedModel
from keras_attention_serving.servable import Version, not_found
from keras_attention_serving.servables import Servables


class Service:
    """The methods of PredictionService and ModelService over a set of models.

    Every method takes a request message and the seconds that are left for it (None: no limit),
    returns a response message and raises `errors.ServingError`.
    """

    def __init__(self, servables: Servables) -> None:
        self._servables = servables

    def predict(self, request: Any, timeout: float | None = None) -> Any:
        with self._lease(request) as (version, model):
            return predict(model, version, request, timeout)

    def get_model_metadata(self, request: Any, timeout: float | None = None) -> Any:
        _check_model_spec(request)
        if not request.metadata_field:
            raise errors.InvalidArgument(
                "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for field in request.metadata_field:
            if field != "signature_def":
                raise errors.InvalidArgument(f"Metadata field {field} is not supported")
        signatures = wire.SignatureDefMap()
        response = wire.GetModelMetadataResponse()
        with self._lease(request) as (version, model):
            for name, signature in model.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = version
        response.metadata["signature_def"].Pack(signatures)
        return response

    def get_model_status(self, request: Any, timeout: float | None = None) -> Any:
        _check_model_spec(request)
        spec = request.model_spec
        servable = self._servables.get(spec.name)
        versions = servable.versions() if servable else []
        if spec.HasField("version"):
            number = spec.version.value
            versions = [version for version in versions if version.number == number]
            if not versions:
                raise errors.NotFound(f"Could not find version {number} of model {spec.name}")
        if not versions:
            raise errors.NotFound(f"Could not find any versions of model {spec.name}")
        response = wire.GetModelStatusResponse()
        for version in versions:
            _add_status(response, version)
        return response

    @contextmanager
    def _lease(self, request: Any) -> Iterator[tuple[int, SavedModel]]:
        """The version that a request asks for."""
        _check_model_spec(request)
        spec = request.model_spec
        if not spec.name:
            raise errors.InvalidArgument("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label":
            raise errors.InvalidArgument(
                f"Unrecognized servable version label: {spec.version_label}"
            )
        number = spec.version.value if choice == "version" else None
        servable = self._servables.get(spec.name)
        if servable is None:
            raise not_found(spec.name, number)
        with servable.lease(number) as leased:
            yield leased


def _check_model_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise errors.InvalidArgument("Missing ModelSpec")


def _add_status(response: Any, version: Version) -> None:
    entry = response.model_version_status.add(version=version.number, state=int(version.state))
    # Present even if all is well: clients tell "OK" from "not known" by it.
    entry.status.SetInParent()
    if version.error is not None:
        entry.status.error_code = version.error.code
        entry.status.error_message = version.error.message
