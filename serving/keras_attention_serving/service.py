"""The methods of the API, independent of the transport: request messages in, responses out."""

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

from keras_attention_serving import errors
from keras_attention_serving.batching.batchers import Batcher, Batching, QueuedRequest
from keras_attention_serving.concurrency.cancellation import Cancellation
from keras_attention_serving.concurrency.event_loop import shielded
from keras_attention_serving.concurrency.worker_pool import WorkerPool
from keras_attention_serving.inference.classify import classify
from keras_attention_serving.inference.inference import Inference
from keras_attention_serving.inference.model import Model, signature_name
from keras_attention_serving.inference.multi_inference import multi_inference
from keras_attention_serving.inference.predict import predict
from keras_attention_serving.inference.regress import regress
from keras_attention_serving.monitoring.metrics import NO_METRICS, Metrics
from keras_attention_serving.open_inference.infer import infer, spec_of
from keras_attention_serving.open_inference.models import Models
from keras_attention_serving.protocol import claims, tensors, wire
from keras_attention_serving.protocol.tensors import Array
from keras_attention_serving.versions.model_manager import ModelManager
from keras_attention_serving.versions.model_versions import ModelHandle, Version, not_found

LARGE = 1 << 18  # bytes of outputs that take long to serialize
_WITH_EXAMPLES = {"Classify", "Regress", "MultiInference"}  # requests that hold tensorflow.Examples


class Service:
    """The methods of PredictionService and ModelService over a set of models, and `ModelInfer`.

    Methods take a request message, return a response message and raise `errors.ServingError`.

    Args:
        manager: the models.
        metrics: is told of every run.
        batching: runs requests together; by default each runs alone.
        check_method_names: refuse signatures that were made for another method.
        tensor_content: Predict responds with numbers as raw bytes instead of in typed fields.
        max_claimed_bytes: the most memory that the shapes of inputs may claim beyond the bytes that
            were sent; no limit by default.

    Attributes:
        models: the other methods of the Open Inference Protocol.
    """

    def __init__(
        self,
        manager: ModelManager,
        *,
        metrics: Metrics = NO_METRICS,
        batching: Batching | None = None,
        check_method_names: bool = False,
        tensor_content: bool = False,
        max_claimed_bytes: int | None = None,
    ) -> None:
        self.models = Models(manager)
        self._manager = manager
        self._max_claimed_bytes = max_claimed_bytes
        self._metrics = metrics
        self._batching = batching
        self._check_method_names = check_method_names
        # By API: makes an `Inference` of (model, version, request, check_method_names).
        self._inferences: dict[str, Callable[..., Inference]] = {
            "Predict": functools.partial(predict, tensor_content=tensor_content),
            "Classify": classify,
            "Regress": regress,
            "MultiInference": multi_inference,
            "ModelInfer": infer,
        }

    def run(
        self,
        api: str,
        request: Any,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Any:
        """Runs an inference in the calling thread, which waits for it.

        Args:
            api: name of the method, see `open`.
            request: its request message.
            timeout: the seconds that are left for it; None for no limit.
            cancellation: set when the caller has left.
        """
        with self.open(api, request) as pending:
            return pending.run(timeout, cancellation)

    def open(self, api: str, request: Any) -> "PendingInference":
        """Checks a request and prepares its inference, for a `with` block.

        Args:
            api: `"Predict"`, `"Classify"`, `"Regress"`, `"MultiInference"` or `"ModelInfer"`.
            request: the request message of that method.
        """
        claims.check(request, self._max_claimed_bytes)
        if api == "MultiInference":
            # The version is that of the first task, as in TensorFlow Serving.
            spec = request.tasks[0].model_spec if request.tasks else wire.ModelSpec()
        elif api == "ModelInfer":
            spec = spec_of(request)
        else:
            _check_model_spec(request)
            spec = request.model_spec
        handle = self._get_handle(spec)
        version, model = handle.__enter__()
        try:
            make_inference = self._inferences[api]
            inference = make_inference(model, version, request, self._check_method_names)
            batcher = self._batching.batcher(spec.name, model) if self._batching else None
        except BaseException:
            handle.__exit__()
            raise
        return PendingInference(self._metrics, batcher, api, spec, handle, model, inference)

    def is_ready(self) -> bool:
        """True if each configured model has an available version and the server is not stopping."""
        return self._manager.is_ready()

    def watch(self, changed: Callable[[], None]) -> None:
        """Calls `changed`, in some thread, whenever `is_ready` may have changed."""
        self._manager.watch(changed)

    def run_quick(self) -> None:
        """Runs the batches that are due and known to be quick, in the calling thread."""
        if self._batching is not None:
            self._batching.run_quick()

    def signature_inputs(self, spec: wire.ModelSpec) -> Mapping[str, wire.TensorInfo]:
        """The inputs of the signature that a `ModelSpec` names, as `TensorInfo`s by name.

        The REST API has to know them before it can read a request.
        """
        name = signature_name(spec)
        with self._get_handle(spec) as (_, model):
            if name not in model.signatures:
                raise errors.InvalidArgument(
                    f'Serving signature name: "{name}" not found in signature def'
                )
            return dict(model.signatures[name].inputs)

    def get_model_metadata(
        self, request: wire.GetModelMetadataRequest
    ) -> wire.GetModelMetadataResponse:
        """The signatures of a model, for `GetModelMetadata`."""
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
        with self._get_handle(request.model_spec) as (version, model):
            for name, signature in model.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
            response.model_spec.name = request.model_spec.name
            response.model_spec.version.value = version
        response.metadata["signature_def"].Pack(signatures)
        return response

    def get_model_status(self, request: wire.GetModelStatusRequest) -> wire.GetModelStatusResponse:
        """The states of the versions of a model, for `GetModelStatus`."""
        _check_model_spec(request)
        spec = request.model_spec
        model_versions = self._manager.get(spec.name)
        versions = model_versions.versions() if model_versions else []
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
        request: wire.ReloadConfigRequest,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> wire.ReloadConfigResponse:
        """Serves the models of another configuration; returns when all new ones are available."""
        before = {name: self._metrics.total(name) for name in request.metric_names}
        self._manager.reload(request.config, timeout, cancellation)
        response = wire.ReloadConfigResponse()
        response.status.SetInParent()  # present, which means OK
        for name, count in before.items():
            response.metric.add(name=name, int64_value_increase=self._metrics.total(name) - count)
        return response

    def _get_handle(self, spec: wire.ModelSpec) -> ModelHandle:
        """A handle of the version that a `ModelSpec` names."""
        if not spec.name:
            raise errors.InvalidArgument("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        number = None
        if choice == "version":
            number = spec.version.value
        elif choice == "version_label":
            number = self._manager.version_for_label(spec.name, spec.version_label)
        model_versions = self._manager.get(spec.name)
        if model_versions is None:
            raise not_found(spec.name, number)
        return model_versions.get_handle(number)


class PendingInference:
    """One inference request: batching, metrics, deadline.

    Holds a handle of its model version until the `with` block ends. Either `run` is called, in a
    thread that may wait; or, in an event loop, `enqueue` and then `run` or `result`.
    """

    def __init__(
        self,
        metrics: Metrics,
        batcher: Batcher | None,
        api: str,
        spec: Any,
        handle: ModelHandle,
        model: Model,
        inference: Inference,
    ) -> None:
        self._metrics = metrics
        self._batcher = batcher
        self._api = api
        self._spec = spec
        self._handle = handle
        self._model = model
        self._inference = inference
        self._queued: QueuedRequest | None = None
        self._enqueued_at = 0.0

    def __enter__(self) -> "PendingInference":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._handle.__exit__()

    def run(self, timeout: float | None, cancellation: Cancellation | None = None) -> Any:
        """Runs the model in the calling thread, or waits for a batch; returns the response."""
        if cancellation is not None and cancellation.cancelled:
            raise errors.Cancelled("The client has left.")
        start = time.monotonic()
        feeds, fetches, _ = self._inference
        if self._batcher is None:
            outputs = self._model.run(feeds, fetches, timeout)
        else:
            outputs = self._batcher.run(self._model, feeds, fetches, timeout, cancellation)
        return self._respond(outputs, start)

    def enqueue(self, timeout: float | None) -> bool:
        """Enters the batching queue, if there is one; to be called in the event loop's thread.

        Returns:
            True if it is not queued and `run` is known to be quick, so that it may be called right
            here; False if `result` is to be awaited.
        """
        self._enqueued_at = time.monotonic()
        feeds, fetches, _ = self._inference
        if self._batcher is not None:
            self._queued = self._batcher.enqueue(self._model, feeds, fetches, timeout)
        if self._queued is not None:
            return False
        return self._model.is_quick(feeds, fetches)

    async def result(self, timeout: float | None, workers: WorkerPool) -> bytes:
        """Waits for the serialized response, after `enqueue`.

        Args:
            timeout: seconds until the run is abandoned.
            workers: threads for runs that are not quick, and to serialize large outputs.

        Raises:
            errors.ServingError: the run failed, or would have ended too late.
        """
        if self._queued is not None:
            outputs = await self._queued.outputs(workers.run)
            if sum(map(tensors.nbytes, outputs)) < LARGE:
                return self._serialize(outputs)
            return await workers.run(self._serialize, outputs)
        workers.admit(timeout)
        cancellation = Cancellation()
        run = workers.run(self._run_in_thread, timeout, cancellation, cancellation=cancellation)
        return await shielded(run, cancellation)

    def _serialize(self, outputs: list[Array]) -> bytes:
        response: bytes = self._respond(outputs, self._enqueued_at).SerializeToString()
        return response

    def _run_in_thread(self, timeout: float | None, cancellation: Cancellation) -> bytes:
        if timeout is not None:
            timeout -= time.monotonic() - self._enqueued_at  # the time that it waited for a thread
        response: bytes = self.run(timeout, cancellation).SerializeToString()
        return response

    def _respond(self, outputs: list[Array], start: float) -> Any:
        seconds = time.monotonic() - start
        feeds, _, respond = self._inference
        name = self._spec.name
        self._metrics.runtime(name, self._api, seconds, signature_name(self._spec))
        response = respond(outputs)
        if self._api in _WITH_EXAMPLES:
            examples = next(iter(feeds.values()))  # every input is fed the same examples
            self._metrics.examples(name, len(examples))
        return response


def _check_model_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise errors.InvalidArgument("Missing ModelSpec")


def _add_status(response: wire.GetModelStatusResponse, version: Version) -> None:
    entry = response.model_version_status.add(version=version.number, state=int(version.state))
    # Present even if it is OK: clients tell "OK" from "not known" by it.
    entry.status.SetInParent()
    if version.error is not None:
        entry.status.error_code = version.error.code
        entry.status.error_message = version.error.message
