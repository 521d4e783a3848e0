"""Batchers: they run requests that arrive together in one run of the model.

`queue` forms batches; `scheduler` decides which one runs next, and in whose thread.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from keras_attention_serving import errors
from keras_attention_serving.batching.inboxes import LoopInbox, ThreadInbox
from keras_attention_serving.batching.parameters import Parameters, read_version_parameters
from keras_attention_serving.batching.queue import Feeds, Inbox, Queue, Request
from keras_attention_serving.batching.scheduler import RunInThread, Scheduler
from keras_attention_serving.batching.tensors import check_shapes, fits, num_rows
from keras_attention_serving.concurrency.cancellation import Cancellation
from keras_attention_serving.inference.model import Model
from keras_attention_serving.monitoring.metrics import NO_METRICS, Metrics
from keras_attention_serving.protocol import wire
from keras_attention_serving.protocol.tensors import Array


class Batcher:
    """Runs the requests to one version of a model in batches.

    Args:
        signatures: `SignatureDef` messages; a run that does not have exactly the inputs and outputs
            of one of them is not batched, as in TensorFlow Serving.
        parameters: sizes and times.
        scheduler: shared by all models.
        model: a name for the metrics.
    """

    def __init__(
        self,
        signatures: Mapping[str, wire.SignatureDef],
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
        """Computes `model.run(feeds, fetches, timeout)` together with the requests of others.

        Blocks the calling thread, which may run a batch meanwhile.

        Args:
            model: computes the batches that this request leads.
            feeds: arrays `(rows, ...)` by the name of their tensor.
            fetches: names of the tensors to compute.
            timeout: seconds until the caller stops waiting.
            cancellation: set when the caller has left.

        Raises:
            errors.ServingError: the run of the batch failed, or the queue is full.
        """
        inbox = ThreadInbox()
        request = self._enqueue(model, feeds, fetches, timeout, inbox)
        if request is None:
            return model.run(feeds, fetches, timeout)
        if cancellation is not None:
            cancellation.watch(lambda: self._scheduler.cancel(request))
        with request:
            self._scheduler.wait(request, inbox)
            return request.outputs(fetches)

    def enqueue(
        self, model: Model, feeds: Feeds, fetches: Sequence[str], timeout: float | None
    ) -> "QueuedRequest | None":
        """Queues a run for a task of an event loop; returns None if it is not to be batched.

        Arguments and errors are those of `run`.
        """
        inbox = LoopInbox()
        request = self._enqueue(model, feeds, fetches, timeout, inbox)
        return None if request is None else QueuedRequest(self._scheduler, request, inbox, fetches)

    def _enqueue(
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
        size = num_rows(feeds)
        if self.parameters.pad_variable_length_inputs:
            check_shapes(feeds, self._infos[key])
        if not fits(feeds, self._infos[key]):
            return None  # it runs alone: a wrong tensor would fail the requests of others
        if size > self.parameters.max_batch_size:
            raise errors.InvalidArgument(
                f"Task size {size} is larger than maximum input batch size "
                f"{self.parameters.max_batch_size}"
            )
        request = Request(model, inbox, time.monotonic(), timeout)
        self._scheduler.submit(queue, request, feeds, size)
        return request


class QueuedRequest:
    """A request in a queue, made by a task of an event loop."""

    def __init__(
        self, scheduler: Scheduler, request: Request, inbox: LoopInbox, fetches: Sequence[str]
    ) -> None:
        self._scheduler = scheduler
        self._request = request
        self._inbox = inbox
        self._fetches = fetches

    async def outputs(self, run_in_thread: RunInThread) -> list[Array]:
        """Waits for the run; leaves the queue if the task is cancelled."""
        with self._request as request:
            await self._scheduler.wait_on_loop(request, self._inbox, run_in_thread)
            return request.outputs(self._fetches)


class Batching:
    """The batchers of all models of a server.

    Args:
        parameters: sizes and times; the number of batches that run at a time is for all models.
        per_model: sizes and times are read from the version folder of each model, see `prepare`; a
            model without a file of them is not batched.
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
        self._model_parameters: WeakKeyDictionary[Any, Parameters] = WeakKeyDictionary()
        self._batchers: dict[str, WeakKeyDictionary[Any, Batcher]] = {}

    def prepare(self, model: Any, folder: Path) -> None:
        """Reads the parameters in the version folder of a model; raises `errors.ServingError`."""
        if self._per_model:
            parameters = read_version_parameters(folder)
            if parameters is not None:
                with self._lock:
                    self._model_parameters[model] = parameters

    def batcher(self, name: str, model: Model) -> Batcher | None:
        """The batcher of a version of a model; None if its runs are not batched."""
        parameters = self._model_parameters.get(model) if self._per_model else self._parameters
        if parameters is None:
            return None
        batchers = self._batchers.get(name)
        batcher = batchers.get(model) if batchers is not None else None
        return batcher or self._make_batcher(name, model, parameters)

    def run_quick(self) -> None:
        """Runs the batches that are due and known to be quick, in the calling thread."""
        self._scheduler.run_quick()

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
