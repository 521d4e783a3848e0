"""What the server can do, apart from how it is reached: one method per RPC, messages in and out."""

import functools
import time
from collections.abc import Callable
from typing import Any

from keras_attention_serving import errors
from keras_attention_serving.batching.batchers import Batching, Pending
from keras_attention_serving.concurrency.cancellation import Cancellation
from keras_attention_serving.concurrency.event_loop import to_the_end
from keras_attention_serving.concurrency.worker_pool import Runs
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
from keras_attention_serving.versions.model_manager import Servables
from keras_attention_serving.versions.model_versions import Lease, Version, not_found

LARGE = 1 << 18  # bytes of outputs that take long to write
_ASK = {
    **{"Classify": classify, "Regress": regress, "MultiInference": multi_inference},
    "ModelInfer": infer,
}
_OF_EXAMPLES = {"Classify", "Regress", "MultiInference"}


class Service:
    """The methods of PredictionService and ModelService over a set of models, and `ModelInfer`.

    Every method takes a request message, the seconds that are left for it (None: no limit) and word
    of a caller that has left; returns a response message and raises `errors.ServingError`.

    Args:
        servables: the models.
        metrics: is told of every run.
        batching: puts requests together; each runs alone by default.
        check_method_names: refuse signatures that were made for another method.
        tensor_content: Predict answers with numbers as raw bytes instead of in typed fields.
        max_claimed_bytes: what inputs may claim by their shapes without being sent; no limit by
            default.

    Attributes:
        models: the other methods of the Open Inference Protocol.
    """

    def __init__(
        self,
        servables: Servables,
        *,
        metrics: Metrics = NO_METRICS,
        batching: Batching | None = None,
        check_method_names: bool = False,
        tensor_content: bool = False,
        max_claimed_bytes: int | None = None,
    ) -> None:
        self.models = Models(servables)
        self._servables = servables
        self._max_claimed_bytes = max_claimed_bytes
        self._metrics = metrics
        self._batching = batching
        self._check_method_names = check_method_names
        self._predict = functools.partial(predict, tensor_content=tensor_content)

    def predict(
        self,
        request: Any,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Any:
        with self.open("Predict", request) as call:
            return call.answer(timeout, cancellation)

    def classify(
        self,
        request: Any,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Any:
        with self.open("Classify", request) as call:
            return call.answer(timeout, cancellation)

    def regress(
        self,
        request: Any,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Any:
        with self.open("Regress", request) as call:
            return call.answer(timeout, cancellation)

    def multi_inference(
        self,
        request: Any,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Any:
        with self.open("MultiInference", request) as call:
            return call.answer(timeout, cancellation)

    def model_infer(
        self,
        request: Any,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Any:
        with self.open("ModelInfer", request) as call:
            return call.answer(timeout, cancellation)

    def open(self, api: str, request: Any) -> "Call":
        """What a request asks, ready to be run; for a `with` block, in which its version stays.

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
        lease = self._lease(spec)
        version, model = lease.__enter__()
        try:
            ask = self._predict if api == "Predict" else _ASK[api]
            inference = ask(model, version, request, self._check_method_names)
        except BaseException:
            lease.__exit__()
            raise
        return Call(self._metrics, self._batching, api, spec, lease, model, inference)

    def is_ready(self) -> bool:
        """Return True if each configured model has an available version, and the server goes on."""
        return self._servables.is_ready()

    def watch(self, changed: Callable[[], None]) -> None:
        """Has `changed` be called, in some thread, whenever `is_ready` may have changed."""
        self._servables.watch(changed)

    def run_quick(self) -> None:
        """Runs what waits in queues, is due and takes next to no time."""
        if self._batching is not None:
            self._batching.run_quick()

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
        self._servables.reload(request.config, timeout, cancellation)
        response = wire.ReloadConfigResponse()
        response.status.SetInParent()  # there, and OK
        for name, count in before.items():
            response.metric.add(name=name, int64_value_increase=self._metrics.total(name) - count)
        return response

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


class Call:
    """One inference: its run is batched, measured, and not begun in vain.

    The right to use a version lasts until the `with` block ends.
    """

    def __init__(
        self,
        metrics: Metrics,
        batching: Batching | None,
        api: str,
        spec: Any,
        lease: Lease,
        model: Model,
        inference: Inference,
    ) -> None:
        self._metrics = metrics
        self._batching = batching
        self._api = api
        self._spec = spec
        self._lease = lease
        self._model = model
        self._inference = inference
        self._pending: Pending | None = None
        self._entered = 0.0

    def __enter__(self) -> "Call":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._lease.__exit__()

    def answer(self, timeout: float | None, cancellation: Cancellation | None = None) -> Any:
        """The response; waits for it."""
        if cancellation is not None and cancellation.cancelled:
            raise errors.Cancelled("The client has left.")
        start = time.monotonic()
        feeds, fetches, _ = self._inference
        if self._batching is None:
            outputs = self._model.run(feeds, fetches, timeout)
        else:
            outputs = self._batching.run(
                self._spec.name, self._model, feeds, fetches, timeout, cancellation
            )
        return self._respond(outputs, start)

    def enter(self, timeout: float | None) -> bool:
        """For a task of an event loop: enters the queue, if there is one.

        Returns:
            Whether `answer` would take next to no time; otherwise `wait` is to be awaited.
        """
        self._entered = time.monotonic()
        feeds, fetches, _ = self._inference
        if self._batching is not None:
            self._pending = self._batching.submit(
                self._spec.name, self._model, feeds, fetches, timeout
            )
        if self._pending is not None:
            return False
        return self._model.is_quick(feeds, fetches)

    async def wait(self, timeout: float | None, runs: Runs) -> bytes:
        """The serialized response, after `enter`; what is large is written in a thread.

        Args:
            timeout: seconds until the run is abandoned.
            runs: where runs that take a while are.

        Raises:
            errors.ServingError: the run failed, or would have ended too late.
        """
        if self._pending is not None:
            outputs = await self._pending.outputs(runs.run)
            if sum(map(tensors.nbytes, outputs)) < LARGE:
                return self._written(outputs)
            return await runs.run(self._written, outputs)
        runs.admit(timeout)
        cancellation = Cancellation()
        run = runs.run(self._answer_later, timeout, cancellation, cancellation=cancellation)
        return await to_the_end(run, cancellation)

    def _written(self, outputs: list[Array]) -> bytes:
        response: bytes = self._respond(outputs, self._entered).SerializeToString()
        return response

    def _answer_later(self, timeout: float | None, cancellation: Cancellation) -> bytes:
        if timeout is not None:
            timeout -= time.monotonic() - self._entered  # it may have waited for a thread
        response: bytes = self.answer(timeout, cancellation).SerializeToString()
        return response

    def _respond(self, outputs: list[Array], start: float) -> Any:
        seconds = time.monotonic() - start
        feeds, _, respond = self._inference
        name = self._spec.name
        self._metrics.runtime(name, self._api, seconds, signature_name(self._spec))
        response = respond(outputs)
        if self._api in _OF_EXAMPLES:
            examples = next(iter(feeds.values()))  # every input is given the same ones
            self._metrics.examples(name, len(examples))
        return response


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
