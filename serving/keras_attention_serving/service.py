"""What the server can do, apart from how it is reached: one method per RPC, messages in and out."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_attention_serving import errors, wire
from keras_attention_serving.batching import Batching
from keras_attention_serving.cancellation import Cancellation
from keras_attention_serving.classify import classify
from keras_attention_serving.metrics import NO_METRICS, Metrics
from keras_attention_serving.model import Model, signature_name
from keras_attention_serving.multi_inference import multi_inference
from keras_attention_serving.predict import predict
from keras_attention_serving.regress import regress
from keras_attention_serving.servable import Lease, Version, not_found
from keras_attention_serving.servables import Servables
from keras_attention_serving.tensors import Array


class Service:
    """The methods of PredictionService and ModelService over a set of models.

    Every method takes a request message, the seconds that are left for it (None: no limit) and word
    of a caller that has left; returns a response message and raises `errors.ServingError`.

    Args:
        servables: the models.
        metrics: is told of every run.
        batching: puts requests together; each runs alone by default.
        check_method_names: refuse signatures that were made for another method.
        tensor_content: Predict answers with numbers as raw bytes instead of in typed fields.
    """

    def __init__(
        self,
        servables: Servables,
        *,
        metrics: Metrics = NO_METRICS,
        batching: Batching | None = None,
        check_method_names: bool = False,
        tensor_content: bool = False,
    ) -> None:
        self._servables = servables
        self._metrics = metrics
        self._batching = batching
        self._check_method_names = check_method_names
        self._predict = functools.partial(predict, tensor_content=tensor_content)

    @property
    def batches(self) -> bool:
        """Whether calls wait for each other, so that many of them should be let in."""
        return self._batching is not None

    def predict(
        self,
        request: Any,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Any:
        _check_model_spec(request)
        return self._infer(
            self._predict, "Predict", request.model_spec, request, timeout, cancellation
        )

    def classify(
        self,
        request: Any,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Any:
        _check_model_spec(request)
        response = self._infer(
            classify, "Classify", request.model_spec, request, timeout, cancellation
        )
        self._metrics.examples(request.model_spec.name, len(response.result.classifications))
        return response

    def regress(
        self,
        request: Any,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Any:
        _check_model_spec(request)
        response = self._infer(
            regress, "Regress", request.model_spec, request, timeout, cancellation
        )
        self._metrics.examples(request.model_spec.name, len(response.result.regressions))
        return response

    def multi_inference(
        self,
        request: Any,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Any:
        # The version is that of the first task, as in TensorFlow Serving.
        spec = request.tasks[0].model_spec if request.tasks else wire.ModelSpec()
        response = self._infer(
            multi_inference, "MultiInference", spec, request, timeout, cancellation
        )
        kind = request.input.WhichOneof("kind")
        self._metrics.examples(spec.name, len(getattr(request.input, kind).examples))
        return response

    def signature_inputs(self, spec: Any) -> dict[str, Any]:
        """The inputs of the signature that a `ModelSpec` names, as `TensorInfo`s by name.

        What the REST API must know before it can read a request.
        """
        name = signature_name(spec)
        with self._lease(spec) as (_, model):
            if name not in model.signatures:
                raise errors.InvalidArgument(
                    f'Serving signature name: "{name}" not found in signature def'
                )
            return dict(model.signatures[name].inputs)

    def get_model_metadata(
        self,
        request: Any,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Any:
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
        with self._lease(request.model_spec) as (version, model):
            for name, signature in model.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = version
        response.metadata["signature_def"].Pack(signatures)
        return response

    def get_model_status(
        self,
        request: Any,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Any:
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

    def handle_reload_config(
        self,
        request: Any,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Any:
        """Serves other models from now on; answers when all that are new can be used."""
        before = {name: self._metrics.total(name) for name in request.metric_names}
        self._servables.reload(request.config, timeout)
        response = wire.ReloadConfigResponse()
        response.status.SetInParent()  # there, and OK
        for name, count in before.items():
            response.metric.add(name=name, int64_value_increase=self._metrics.total(name) - count)
        return response

    def _infer(
        self,
        method: Callable[[Model, int, Any, float | None, bool], Any],
        api: str,
        spec: Any,
        request: Any,
        timeout: float | None,
        cancellation: Cancellation | None,
    ) -> Any:
        with self._lease(spec) as (version, model):
            session = _Session(self._metrics, self._batching, api, spec, model, cancellation)
            return method(session, version, request, timeout, self._check_method_names)

    def _lease(self, spec: Any) -> Lease:
        """The version that a `ModelSpec` asks for."""
        if not spec.name:
            raise errors.InvalidArgument("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        number = None
        if choice == "version":
            number = spec.version.value
        elif choice == "version_label":
            number = self._servables.version_for_label(spec.name, spec.version_label)
        servable = self._servables.get(spec.name)
        if servable is None:
            raise not_found(spec.name, number)
        return servable.lease(number)


class _Session:
    """A model as one call sees it: its runs are batched, measured, and not begun in vain."""

    __slots__ = ("_api", "_batching", "_cancellation", "_metrics", "_model", "_spec", "signatures")

    def __init__(
        self,
        metrics: Metrics,
        batching: Batching | None,
        api: str,
        spec: Any,
        model: Model,
        cancellation: Cancellation | None,
    ) -> None:
        self._metrics = metrics
        self._batching = batching
        self._api = api
        self._spec = spec
        self._model = model
        self._cancellation = cancellation
        self.signatures: Mapping[str, Any] = model.signatures

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout: float | None = None
    ) -> list[Array]:
        if self._cancellation is not None and self._cancellation.cancelled:
            raise errors.Cancelled("The client has left.")
        start = time.monotonic()
        name = self._spec.name
        if self._batching is None:
            outputs = self._model.run(feeds, fetches, timeout)
        else:
            outputs = self._batching.run(
                name, self._model, feeds, fetches, timeout, self._cancellation
            )
        seconds = time.monotonic() - start
        self._metrics.runtime(name, self._api, seconds, signature_name(self._spec))
        return outputs


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
