"""Scheduler of batches: it decides which batch runs next, and in whose thread.

Theory of operation
-------------------
Four kinds of objects, made in `queue`:

    Request   the rows of one caller, with a deadline and the inbox of that caller
    Task      rows of one request in one batch; a request has several tasks only if it was split
    Batch     tasks that are run together; the request of the first task is its leader
    Queue     the waiting batches of one signature of one model; only the last one takes tasks

Their states:

    Task      waiting -> running -> done; or waiting -> withdrawn
    Batch     open (the last of its queue) -> closed (full, or another follows it)
              -> running (taken from the queue, `running` is set) -> ended (`tasks` is empty)
    Request   waiting (`unfinished` > 0) -> done (`unfinished` == 0), or failed (`error` is set)

Leaders. There are no threads of our own: the caller of a leader runs the batch and delivers the
results to the other callers, who sleep meanwhile. So a request that is alone never passes from one
thread to another, and a batch needs one thread, which its leader has anyway. If the leader leaves,
the request of the next task leads.

The ways of a call:

    thread       `wait`: the caller sleeps at a `ThreadInbox` and runs the batches that it leads
    event loop   `wait_on_loop`: a task awaits a `LoopInbox`; it runs quick batches itself, on the
                 loop, and the others in a worker thread
    burst        `run_quick`: after a burst of requests the loop runs the quick batches that are due
                 by now, without waking their leaders first

Waking. Every caller looks at its request (`_check`), which dispatches the batches that are due, and
sleeps until the next time when something may be due. `inbox.put(batch)` tells it to run a batch;
`inbox.put(None)` tells it to look again, because its request is done or has failed, because it has
become a leader, or because its batch may be due at another time.

Locking. `_lock` guards all queues, batches and requests, and the number of free places (at most
`num_batch_threads` batches run at a time). It is held for bookkeeping only, never during a run. The
tasks of a running batch do not change: only its runner touches them.

Deadlines. A request that expires in the queue is withdrawn. One that expires during its run fails,
at once unless its own caller runs it; the run goes on for the others, and its timeout is the latest
deadline in the batch.

Cancellation. The same happens to a request whose client has left. A caller that got a batch to run
has to run it even if its own request is over, because other callers wait for it.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from keras_attention_serving import errors
from keras_attention_serving.batching.inboxes import LoopInbox, ThreadInbox
from keras_attention_serving.batching.queue import FOREVER, Batch, Feeds, Queue, Request
from keras_attention_serving.batching.tensors import split
from keras_attention_serving.concurrency.event_loop import shielded
from keras_attention_serving.monitoring.metrics import NO_METRICS, Metrics

# Calls a function with arguments in another thread.
RunInThread = Callable[..., "asyncio.Future[Any]"]


class Scheduler:
    """Scheduler of the batches in the queues of all models.

    Args:
        num_batch_threads: number of batches that may run at a time.
        thread_pool_name: a name for the metrics.
        metrics: is told of the time that requests waited.
    """

    def __init__(
        self, num_batch_threads: int, thread_pool_name: str = "", metrics: Metrics = NO_METRICS
    ) -> None:
        self._free = num_batch_threads
        self._name = thread_pool_name
        self._metrics = metrics
        self._lock = threading.Lock()  # see "Locking" above
        self._waiting: dict[Queue, None] = {}  # queues that hold batches

    def submit(self, queue: Queue, request: Request, feeds: Feeds, size: int) -> None:
        """Adds a request of `size` rows to a queue; raises `errors.Unavailable` if it is full."""
        self._metrics.batching_input(size)
        with self._lock:
            queue.add(request, feeds, size, request.queued_at)
            self._waiting[queue] = None

    def wait(self, request: Request, inbox: ThreadInbox) -> None:
        """Waits until a request is done, and runs the batches that it leads; raises its error."""
        while (seconds := self._check(request)) is not None:
            batch = inbox.get(None if seconds == FOREVER else seconds)
            if batch is not None:
                self._run(batch)
        # Assigned to this request after it finished: the other callers still wait for them.
        for batch in inbox.remaining_batches():
            self._run(batch)
        if request.error is not None:
            raise _copy(request.error)

    async def wait_on_loop(
        self, request: Request, inbox: LoopInbox, run_in_thread: RunInThread
    ) -> None:
        """Does the same as `wait` in a task of an event loop, which may be cancelled."""
        try:
            while (seconds := self._check(request)) is not None:
                batch = await inbox.get(None if seconds == FOREVER else seconds)
                if batch is None:
                    continue
                if batch.is_quick:
                    self._run(batch)
                else:
                    await shielded(run_in_thread(self._run, batch))
        finally:
            self.cancel(request)
            # Assigned to this request after it finished: the other callers still wait for them.
            for batch in inbox.remaining_batches():
                await shielded(run_in_thread(self._run, batch))
        if request.error is not None:
            raise _copy(request.error)

    def run_quick(self) -> None:
        """Runs the batches that are due and known to be quick, in the calling thread."""
        while True:
            with self._lock:
                queue = self._due(time.monotonic())
                if queue is None or not queue.batches[0].is_quick:
                    return
                batch = self._take(queue)
                self._wake_leader(queue)
            self._run(batch)

    def cancel(self, request: Request) -> None:
        """Fails a request whose caller has left, and withdraws its waiting tasks."""
        with self._lock:
            if request.unfinished:
                self._fail(request, errors.Cancelled("The client has left."))

    def waiting(self, queues: Sequence[Queue]) -> int:
        """Number of tasks that wait in some queues."""
        with self._lock:
            return sum(queue.waiting() for queue in queues)

    def _check(self, request: Request) -> float | None:
        """Dispatches what is due; returns the seconds until the next check, None if all is done."""
        with self._lock:
            now = time.monotonic()
            if request.unfinished and now >= request.deadline:
                self._expire(request)
            self._dispatch(now)
            if request.error is not None or not request.unfinished:
                return None
            return self._wake_at(request, now) - now

    # The methods below, except `_run`, are called with the lock held.

    def _dispatch(self, now: float) -> None:
        """Delivers the batches that are due to their leaders, the oldest first."""
        while (queue := self._due(now)) is not None:
            batch = self._take(queue)
            batch.leader.inbox.put(batch)
            self._wake_leader(queue)

    def _due(self, now: float) -> Queue | None:
        """The queue whose first batch is to be run now; None if there is none or no free place."""
        while self._free:
            due = [queue for queue in self._waiting if queue.due_at() <= now]
            if not due:
                break
            queue = min(due, key=lambda queue: queue.batches[0].opened_at)
            tasks = queue.batches[0].tasks
            expired = [task.request for task in tasks if task.request.deadline <= now]
            if not expired:
                return queue
            for request in expired:
                self._expire(request)  # without it, the batch may be empty, or due later
        return None

    def _take(self, queue: Queue) -> Batch:
        self._free -= 1
        return queue.take()

    def _wake_at(self, request: Request, now: float) -> float:
        """Time when a caller has to check its request again if nothing wakes it before."""
        wake_at = request.deadline
        for task in request.tasks:
            batches = task.batch.queue.batches
            if batches and batches[0] is task.batch and task.batch.leader is request:
                due_at = task.batch.queue.due_at()
                if due_at > now:  # otherwise it waits for a free place, and `_dispatch` wakes it
                    wake_at = min(wake_at, due_at)
        return wake_at

    def _wake_leader(self, queue: Queue) -> None:
        """Wakes the leader of a queue's first batch, whose due time or leader may have changed."""
        if queue.batches:
            queue.batches[0].leader.inbox.put(None)
        else:
            self._waiting.pop(queue, None)

    def _expire(self, request: Request) -> None:
        text = "Run() timeout exceeded while waiting in batching queue"
        error: errors.ServingError = errors.ResourceExhausted(text)
        if any(task.batch.running for task in request.tasks):
            error = errors.DeadlineExceeded("Timed out waiting for notification")
        self._fail(request, error)

    def _fail(self, request: Request, error: BaseException) -> None:
        if request.error is not None:
            return
        request.error = error
        for task in request.tasks:
            if not task.batch.running:
                task.batch.queue.withdraw(task)
                self._wake_leader(task.batch.queue)
        request.inbox.put(None)

    def _run(self, batch: Batch) -> None:
        """Runs a batch in the calling thread, and wakes the callers of its requests."""
        start = time.monotonic()
        for task in batch.tasks:
            self._metrics.batching_queued(self._name, start - task.request.queued_at)
        deadline = max(task.request.deadline for task in batch.tasks)
        error: BaseException | None = None
        padding = batch.padding
        self._metrics.batching_run(batch.queue.model, batch.size, batch.size + padding)
        try:
            _compute(batch, padding, None if deadline == FOREVER else deadline - start)
        except BaseException as caught:  # whatever it is, the other callers must not wait for ever
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
            batch.clear()
            self._wake_leader(batch.queue)
            self._dispatch(now)


def _compute(batch: Batch, padding: int, timeout: float | None) -> None:
    """Runs the model on a batch and gives each task its part of the outputs."""
    outputs = batch.leader.model.run(batch.feeds(), batch.queue.fetches, timeout)
    parts = split(outputs, [task.size for task in batch.tasks], padding)
    for task, part in zip(batch.tasks, parts, strict=True):
        task.outputs = part


def _copy(error: BaseException) -> BaseException:
    """Copies an error: several threads raise it, and each writes its own traceback into it."""
    if isinstance(error, errors.ServingError):
        return errors.from_code(error.code, error.message, error.log_text)
    return error
