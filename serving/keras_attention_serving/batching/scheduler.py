"""Which batch runs next, and who runs it; `batch_queue` says who is in it.

There are no threads of our own. The caller of the first request in a batch runs it and hands the
results to the other callers, who sleep meanwhile; so a request that is alone is never passed from
thread to thread. A caller that is a task of an event loop runs what is over in no time there and
has the rest run elsewhere.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from keras_attention_serving import errors
from keras_attention_serving.batching import tensors as batch_tensors
from keras_attention_serving.batching.inboxes import LoopInbox, ThreadInbox
from keras_attention_serving.batching.queue import FOREVER, Batch, Feeds, Queue, Request
from keras_attention_serving.concurrency.event_loop import to_the_end
from keras_attention_serving.monitoring.metrics import NO_METRICS, Metrics

# Has a function called with arguments in another thread.
Elsewhere = Callable[..., "asyncio.Future[Any]"]


class Scheduler:
    """Says which batch runs next, over the queues of all models.

    Args:
        num_batch_threads: how many batches may run at a time.
        thread_pool_name: a name for the metrics.
        metrics: is told how long requests waited.
    """

    def __init__(
        self, num_batch_threads: int, thread_pool_name: str = "", metrics: Metrics = NO_METRICS
    ) -> None:
        self._free = num_batch_threads
        self._name = thread_pool_name
        self._metrics = metrics
        self._lock = threading.Lock()  # for everything in the queues and their requests
        self._waiting: dict[Queue, None] = {}  # queues that hold batches

    def submit(self, queue: Queue, request: Request, feeds: Feeds, size: int) -> None:
        """Puts a request of so many rows into a queue; raises `errors.Unavailable`."""
        self._metrics.batching_input(size)
        with self._lock:
            queue.add(request, feeds, size, request.queued_at)
            self._waiting[queue] = None

    def wait(self, request: Request, inbox: ThreadInbox) -> None:
        """Returns when a request is done, running batches that it leads. Raises its error."""
        while (seconds := self._look(request)) is not None:
            batch = inbox.get(None if seconds == FOREVER else seconds)
            if batch is not None:
                self._run(batch)
        for batch in inbox.rest():  # given to it all the same
            self._run(batch)
        if request.error is not None:
            raise _copy(request.error)

    async def wait_on_loop(self, request: Request, inbox: LoopInbox, elsewhere: Elsewhere) -> None:
        """`wait` for a task of an event loop, which may be cancelled."""
        try:
            while (seconds := self._look(request)) is not None:
                batch = await inbox.get(None if seconds == FOREVER else seconds)
                if batch is None:
                    continue
                if batch.is_quick:
                    self._run(batch)
                else:
                    await to_the_end(elsewhere(self._run, batch))
        finally:
            self.cancel(request)
            for batch in inbox.rest():  # given to it all the same; others wait for it
                await to_the_end(elsewhere(self._run, batch))
        if request.error is not None:
            raise _copy(request.error)

    def run_quick(self) -> None:
        """Runs batches that are due and over in no time, here and now."""
        while True:
            with self._lock:
                queue = self._due(time.monotonic())
                if queue is None or not queue.batches[0].is_quick:
                    return
                batch = self._take(queue)
                self._look_again(queue)
            self._run(batch)

    def cancel(self, request: Request) -> None:
        """The caller of a request has left; what waits of it gives up its place."""
        with self._lock:
            if request.unfinished:
                self._fail(request, errors.Cancelled("The client has left."))

    def waiting(self, queues: Sequence[Queue]) -> int:
        """How many tasks wait in some queues."""
        with self._lock:
            return sum(queue.waiting() for queue in queues)

    def _look(self, request: Request) -> float | None:
        """Does what is due. Seconds until the next look is due, or None: the request is done."""
        with self._lock:
            now = time.monotonic()
            if request.unfinished and now >= request.deadline:
                self._expire(request)
            self._dispatch(now)
            if request.error is not None or not request.unfinished:
                return None
            return self._wake_at(request, now) - now

    # All that follows, but `_run`, is called under the lock.

    def _dispatch(self, now: float) -> None:
        """Gives batches that are due to their leaders, the oldest first."""
        while (queue := self._due(now)) is not None:
            batch = self._take(queue)
            batch.leader.inbox.put(batch)
            self._look_again(queue)

    def _due(self, now: float) -> Queue | None:
        """The queue whose first batch is to be run now, if there is one."""
        while self._free:
            due = [queue for queue in self._waiting if queue.due_at() <= now]
            if not due:
                break
            queue = min(due, key=lambda queue: queue.batches[0].opened_at)
            late = [task.request for task in queue.batches[0].tasks if task.request.deadline <= now]
            if not late:
                return queue
            for request in late:
                self._expire(request)  # the batch may be gone, or due later
        return None

    def _take(self, queue: Queue) -> Batch:
        self._free -= 1
        return queue.take()

    def _wake_at(self, request: Request, now: float) -> float:
        """When a caller has to look at its request again, unless it is told to."""
        wake_at = request.deadline
        for task in request.tasks:
            batches = task.batch.queue.batches
            if batches and batches[0] is task.batch and task.batch.leader is request:
                due_at = task.batch.queue.due_at()
                if due_at > now:  # else it waits for another batch to end
                    wake_at = min(wake_at, due_at)
        return wake_at

    def _look_again(self, queue: Queue) -> None:
        """The first batch of a queue may be due at another time, or have another leader."""
        if queue.batches:
            queue.batches[0].leader.inbox.put(None)
        else:
            self._waiting.pop(queue, None)

    def _expire(self, request: Request) -> None:
        runs = any(task.batch.running for task in request.tasks)
        self._fail(
            request,
            errors.DeadlineExceeded("Timed out waiting for notification")
            if runs
            else errors.ResourceExhausted("Run() timeout exceeded while waiting in batching queue"),
        )

    def _fail(self, request: Request, error: BaseException) -> None:
        if request.error is not None:
            return
        request.error = error
        for task in request.tasks:
            if not task.batch.running:
                task.batch.queue.withdraw(task)
                self._look_again(task.batch.queue)
        request.inbox.put(None)

    def _run(self, batch: Batch) -> None:
        """Runs a batch and tells its callers."""
        start = time.monotonic()
        for task in batch.tasks:
            self._metrics.batching_queued(self._name, start - task.request.queued_at)
        deadline = max(task.request.deadline for task in batch.tasks)
        error: BaseException | None = None
        padded_size = batch.queue.parameters.rounded(batch.size)
        self._metrics.batching_run(batch.queue.model, batch.size, padded_size)
        try:
            _compute(batch, None if deadline == FOREVER else deadline - start)
        except BaseException as caught:  # whatever it is, nobody may wait for ever
            error = caught
        with self._lock:
            now = time.monotonic()
            self._free += 1
            batch.queue.ended(batch, now, now - start)
            for task in batch.tasks:
                request = task.request
                request.unfinished -= 1
                if error is not None:
                    self._fail(request, error)
                elif not request.unfinished:
                    request.inbox.put(None)
            batch.tasks = []  # tasks know their batch: a circle would keep their arrays
            self._look_again(batch.queue)
            self._dispatch(now)


def _compute(batch: Batch, timeout: float | None) -> None:
    """The outputs of every task of a batch."""
    outputs = batch.leader.model.run(batch.feeds(), batch.queue.fetches, timeout)
    parts = batch_tensors.split(outputs, [task.size for task in batch.tasks], batch.padding)
    for task, part in zip(batch.tasks, parts, strict=True):
        task.outputs = part


def _copy(error: BaseException) -> BaseException:
    """An error for one more thread to raise: each writes its own traceback into it."""
    if isinstance(error, errors.ServingError):
        return errors.from_code(error.code, error.message, error.log_text)
    return error
