"""Requests that arrive together are run together: the batchers of models.

`batch_queue` says who is in a batch, `batch_scheduler` which one runs next, and in whose thread.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from keras_attention_serving import errors
from keras_attention_serving.batching import parameters as batching_parameters
from keras_attention_serving.batching import tensors as batch_tensors
from keras_attention_serving.batching.inboxes import LoopInbox, ThreadInbox
from keras_attention_serving.batching.parameters import Parameters
from keras_attention_serving.batching.queue import Feeds, Inbox, Queue, Request
from keras_attention_serving.batching.scheduler import Elsewhere, Scheduler
from keras_attention_serving.concurrency.cancellation import Cancellation
from keras_attention_serving.inference.model import Model
from keras_attention_serving.monitoring.metrics import NO_METRICS, Metrics
from keras_attention_serving.protocol.tensors import Array


class Batcher:
    """Runs the requests to one version of a model in batches.

    Args:
        signatures: `SignatureDef` messages; a run that is not of exactly the inputs and outputs of
            one of them is not batched, as in TensorFlow Serving.
        parameters: sizes and times.
        scheduler: shared by all models.
        model: a name for the metrics.
    """

    def __init__(
        self,
        signatures: Mapping[str, Any],
        parameters: Parameters,
        scheduler: Scheduler,
        model: str = "",
    ) -> None:
        self.parameters = parameters
        self._scheduler = scheduler
        self.queues: dict[tuple[frozenset[str], frozenset[str]], Queue] = {}
        self._infos: dict[tuple[frozenset[str], frozenset[str]], dict[str, Any]] = {}
        for signature in signatures.values():
            fetches = sorted({info.name for info in signature.outputs.values()})
            infos = {info.name: info for info in signature.inputs.values()}
            if infos:
                key = frozenset(infos), frozenset(fetches)
                self.queues[key] = Queue(fetches, parameters, model)
                self._infos[key] = infos

    def run(
        self,
        model: Model,
        feeds: Feeds,
        fetches: Sequence[str],
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> list[Array]:
        """`model.run(feeds, fetches, timeout)`, together with the requests of other callers.

        Args:
            model: computes a batch.
            feeds: arrays `(rows, ...)` by the name of their tensor.
            fetches: names of the tensors to compute.
            timeout: seconds until the caller stops waiting.
            cancellation: set when the caller has left.

        Raises:
            errors.ServingError: what `run` raised for the batch, or no place was left.
        """
        inbox = ThreadInbox()
        request = self._submit(model, feeds, fetches, timeout, inbox)
        if request is None:
            return model.run(feeds, fetches, timeout)
        if cancellation is not None:
            cancellation.watch(lambda: self._scheduler.cancel(request))
        with request:
            self._scheduler.wait(request, inbox)
            return request.outputs(fetches)

    def submit(
        self, model: Model, feeds: Feeds, fetches: Sequence[str], timeout: float | None
    ) -> "Pending | None":
        """`run` for a task of an event loop; None if this run is not batched."""
        inbox = LoopInbox()
        request = self._submit(model, feeds, fetches, timeout, inbox)
        return None if request is None else Pending(self._scheduler, request, inbox, fetches)

    def _submit(
        self,
        model: Model,
        feeds: Feeds,
        fetches: Sequence[str],
        timeout: float | None,
        inbox: Inbox,
    ) -> Request | None:
        key = frozenset(feeds), frozenset(fetches)
        queue = self.queues.get(key)
        if queue is None:
            return None
        size = batch_tensors.rows(feeds)
        if self.parameters.pad_variable_length_inputs:
            batch_tensors.check_shapes(feeds, self._infos[key])
        if not batch_tensors.fits(feeds, self._infos[key]):
            return None  # what is wrong with it would be the fault of the whole batch
        if size > self.parameters.max_batch_size:
            raise errors.InvalidArgument(
                f"Task size {size} is larger than maximum input batch size "
                f"{self.parameters.max_batch_size}"
            )
        request = Request(model, inbox, time.monotonic(), timeout)
        self._scheduler.submit(queue, request, feeds, size)
        return request


class Pending:
    """A request in a queue, asked by a task of an event loop."""

    def __init__(
        self, scheduler: Scheduler, request: Request, inbox: LoopInbox, fetches: Sequence[str]
    ) -> None:
        self._scheduler = scheduler
        self._request = request
        self._inbox = inbox
        self._fetches = fetches

    async def outputs(self, elsewhere: Elsewhere) -> list[Array]:
        """What the run has computed. Gives up its place in the queue if the task is cancelled."""
        with self._request as request:
            await self._scheduler.wait_on_loop(request, self._inbox, elsewhere)
            return request.outputs(self._fetches)


class Batching:
    """The batchers of all models of a server.

    Args:
        parameters: sizes and times; the number of batches that run at a time is for all models.
        per_model: sizes and times are those that lie beside each model, see `prepare`; a model
            without is not batched.
        metrics: is told of queues and batches.
    """

    def __init__(
        self,
        parameters: Parameters | None = None,
        per_model: bool = False,
        metrics: Metrics = NO_METRICS,
    ) -> None:
        self._parameters = parameters or Parameters()
        self._per_model = per_model
        self._metrics = metrics
        self._scheduler = Scheduler(
            self._parameters.num_batch_threads, self._parameters.thread_pool_name, metrics
        )
        self._lock = threading.Lock()
        self._own: WeakKeyDictionary[Any, Parameters] = WeakKeyDictionary()
        self._batchers: dict[str, WeakKeyDictionary[Any, Batcher]] = {}

    def prepare(self, model: Any, folder: Path) -> None:
        """Reads the parameters in the version folder of a model; raises `errors.ServingError`."""
        if self._per_model:
            parameters = batching_parameters.for_version(folder)
            if parameters is not None:
                with self._lock:
                    self._own[model] = parameters

    def run(
        self,
        name: str,
        model: Model,
        feeds: Feeds,
        fetches: Sequence[str],
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> list[Array]:
        """`model.run(feeds, fetches, timeout)` in batches; see `Batcher.run`."""
        batcher = self._batcher(name, model)
        if batcher is None:
            return model.run(feeds, fetches, timeout)
        return batcher.run(model, feeds, fetches, timeout, cancellation)

    def submit(
        self,
        name: str,
        model: Model,
        feeds: Feeds,
        fetches: Sequence[str],
        timeout: float | None,
    ) -> Pending | None:
        """`run` for a task of an event loop; None if this run is not batched."""
        batcher = self._batcher(name, model)
        return None if batcher is None else batcher.submit(model, feeds, fetches, timeout)

    def run_quick(self) -> None:
        """Runs batches that are due and over in no time, here and now."""
        self._scheduler.run_quick()

    def _batcher(self, name: str, model: Model) -> Batcher | None:
        parameters = self._own.get(model) if self._per_model else self._parameters
        if parameters is None:
            return None
        batchers = self._batchers.get(name)
        batcher = batchers.get(model) if batchers is not None else None
        return batcher or self._make_batcher(name, model, parameters)

    def _make_batcher(self, name: str, model: Model, parameters: Parameters) -> Batcher:
        with self._lock:
            if name not in self._batchers:
                self._batchers[name] = WeakKeyDictionary()
                self._metrics.watch_queue(name, lambda: self._depth(name))
            batchers = self._batchers[name]
            if model not in batchers:
                batchers[model] = Batcher(model.signatures, parameters, self._scheduler, name)
            return batchers[model]

    def _depth(self, name: str) -> int:
        batchers = list(self._batchers[name].values())
        return self._scheduler.waiting([q for b in batchers for q in b.queues.values()])
