"""Queue of batches: the requests that form a batch, and the time when it is due.

There are no threads here and no clock: the time is an argument. `scheduler` describes the life of
requests and batches.

A batch is due when it is full, when its oldest request has waited for the timeout, or at once if no
further request is expected. The number of expected requests is the number that were present when
the last batch ended, including those in that batch, because a client that got its response usually
sends the next request. Clients have `PATIENCE` times the duration of that batch to come back. So a
client that is alone never waits, and many clients fill batches. While a batch runs, the next one
gathers.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from keras_attention_serving import errors
from keras_attention_serving.batching.parameters import Parameters
from keras_attention_serving.batching.tensors import merge
from keras_attention_serving.inference.model import Model
from keras_attention_serving.protocol.tensors import Array

Feeds = Mapping[str, Array]

FOREVER = float("inf")
MAX_QUICK_BYTES = 1 << 16  # inputs of a batch that may run on the event loop
PATIENCE = 0.5  # time that clients have to come back, relative to the duration of the last batch


class Inbox(Protocol):
    """Inbox of a caller that waits for its request."""

    def put(self, batch: "Batch | None") -> None:
        """Delivers a batch to run, or None to make the caller re-check its request. Thread-safe."""


class Request:
    """A request of one caller: one task, or several if it is spread over batches.

    Attributes:
        model: computes the batches that this request leads.
        queued_at: time of arrival, in seconds.
        deadline: time when its caller stops waiting.
        tasks: its parts, in order.
        unfinished: number of tasks without a result.
        error: the reason why it failed; None if it did not.
        inbox: inbox of its caller.
    """

    __slots__ = ("deadline", "error", "inbox", "model", "queued_at", "tasks", "unfinished")

    def __init__(self, model: Model, inbox: Inbox, now: float, timeout: float | None) -> None:
        self.model = model
        self.inbox = inbox
        self.queued_at = now
        self.deadline = FOREVER if timeout is None else now + timeout
        self.tasks: list[Task] = []
        self.unfinished = 0
        self.error: BaseException | None = None

    def outputs(self, fetches: Sequence[str]) -> list[Array]:
        """Returns the arrays by the names `fetches`, once all tasks are done."""
        parts = [task.outputs for task in self.tasks]
        whole = parts[0] if len(parts) == 1 else [*map(np.concatenate, zip(*parts, strict=True))]
        by_name = dict(zip(self.tasks[0].batch.queue.fetches, whole, strict=True))
        return [by_name[name] for name in fetches]

    def __enter__(self) -> "Request":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.tasks = []  # breaks the reference cycle with the tasks, which would keep their arrays


class Task:
    """Rows of one request in one batch, and their results."""

    __slots__ = ("batch", "feeds", "outputs", "request", "size")

    def __init__(self, request: Request, feeds: Feeds, size: int, batch: "Batch") -> None:
        self.request = request
        self.feeds = feeds
        self.size = size
        self.batch = batch
        self.outputs: list[Array] = []


class Batch:
    """Tasks that are run together, by the caller of the first one, the leader."""

    __slots__ = ("_feeds", "opened_at", "queue", "running", "size", "tasks")

    def __init__(self, queue: "Queue", now: float) -> None:
        self.queue = queue
        self.opened_at = now
        self.tasks: list[Task] = []
        self.size = 0
        self.running = False
        self._feeds: Feeds | None = None

    @property
    def leader(self) -> Request:
        return self.tasks[0].request

    @property
    def is_quick(self) -> bool:
        """True if its run is known to take less time than handing it to another thread."""
        if self.size_in_bytes >= MAX_QUICK_BYTES:  # merging it to find out would take long already
            return False
        try:
            return self.leader.model.is_quick(self.feeds(), self.queue.fetches)
        except errors.ServingError:  # raised again, and reported, when the batch is run
            return False

    @property
    def size_in_bytes(self) -> int:
        return sum(array.nbytes for task in self.tasks for array in task.feeds.values())

    @property
    def padding(self) -> int:
        """Number of rows that are added to reach an allowed batch size."""
        return self.queue.parameters.rounded(self.size) - self.size

    def feeds(self) -> Feeds:
        """Concatenates the tensors of all tasks; raises `errors.ServingError`."""
        if self._feeds is None:
            pad = self.queue.parameters.pad_variable_length_inputs
            self._feeds = merge([task.feeds for task in self.tasks], self.padding, pad)
        return self._feeds

    def add(self, request: Request, feeds: Feeds, size: int) -> None:
        task = Task(request, feeds, size, self)
        self.tasks.append(task)
        self._feeds = None
        self.size += size
        request.tasks.append(task)
        request.unfinished += 1

    def remove(self, task: Task) -> None:
        self.tasks.remove(task)
        self._feeds = None
        self.size -= task.size
        task.request.unfinished -= 1

    def clear(self) -> None:
        """Breaks the reference cycle with the tasks, which would keep their arrays."""
        self.tasks = []
        self._feeds = None


class Queue:
    """The batches of one signature that wait to be run; the last one takes new requests.

    Args:
        fetches: names of the tensors to compute.
        parameters: sizes and times.
        model: a name for the metrics.
    """

    def __init__(self, fetches: Sequence[str], parameters: Parameters, model: str = "") -> None:
        self.fetches = fetches
        self.model = model
        self.parameters = parameters
        self.batches: deque[Batch] = deque()
        self._largest_batch = parameters.largest_batch
        self._timeout = parameters.batch_timeout_micros / 1e6
        self._running = 0
        self._expected = 0
        self._expected_until = 0.0

    def add(self, request: Request, feeds: Feeds, size: int, now: float) -> None:
        """Adds a request of `size` rows to the open batch, or to new ones.

        Raises `errors.Unavailable` if there would be too many batches; nothing is added then.
        """
        largest = self._largest_batch
        room = largest - self.batches[-1].size if self.batches else -1
        joins = size <= room or (room > 0 and self.parameters.enable_large_batch_splitting)
        at = min(size, room) if joins else 0
        starts = [*range(at, size, largest)] if size else [] if joins else [0]
        limit = max(1, self.parameters.max_enqueued_batches)
        if len(self.batches) + len(starts) > limit:
            raise errors.Unavailable(
                "The batch scheduling queue to which this task was submitted is full; currently "
                f"{len(self.batches)} batches enqueued and max_enqueued_batches is "
                f"{self.parameters.max_enqueued_batches}"
            )
        if joins:
            self.batches[-1].add(request, _rows(feeds, 0, at, size), at)
        for start in starts:
            self.batches.append(Batch(self, now))
            part = min(largest, size - start)
            self.batches[-1].add(request, _rows(feeds, start, start + part, size), part)

    def due_at(self) -> float:
        """Time when the first batch should run, in seconds; 0 for at once."""
        batch = self.batches[0]
        if len(self.batches) > 1 or batch.size >= self._largest_batch:
            return 0.0
        timeout_at = batch.opened_at + self._timeout
        if self._running:
            return timeout_at
        if len(batch.tasks) >= self._expected:
            return 0.0
        return min(timeout_at, self._expected_until)

    def take(self) -> Batch:
        """Removes and returns the first batch, which is about to run."""
        batch = self.batches.popleft()
        batch.running = True
        self._running += 1
        return batch

    def ended(self, batch: Batch, now: float, seconds: float) -> None:
        """Records that a batch has run, in so many seconds."""
        self._running -= 1
        self._expected = len(batch.tasks) + self.waiting()
        self._expected_until = now + PATIENCE * seconds

    def withdraw(self, task: Task) -> None:
        """Removes a waiting task, and its batch if that is empty then."""
        batch = task.batch
        batch.remove(task)
        if not batch.tasks:
            self.batches.remove(batch)

    def waiting(self) -> int:
        """Number of tasks that wait."""
        return sum(len(batch.tasks) for batch in self.batches)


def _rows(feeds: Feeds, start: int, stop: int, size: int) -> Feeds:
    if stop - start == size:
        return feeds
    return {name: array[start:stop] for name, array in feeds.items()}
