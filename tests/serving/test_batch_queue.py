"""The batching queue: the requests of a batch, and its due time."""

import numpy as np
import pytest

from keras_attention_serving import errors
from keras_attention_serving.batching.inboxes import ThreadInbox
from keras_attention_serving.batching.parameters import Parameters
from keras_attention_serving.batching.queue import Queue, Request


def make(**values):
    return Queue(["y:0"], Parameters(**values))


def add(queue, size, now=0.0, timeout=None):
    request = Request(None, ThreadInbox(), now, timeout)
    queue.add(request, {"x:0": np.zeros((size, 2))}, size, now)
    return request


def sizes(queue):
    return [[task.size for task in batch.tasks] for batch in queue.batches]


def test_a_batch_takes_what_fits():
    queue = make(max_batch_size=7)
    for size in (2, 5, 3, 5, 2):
        add(queue, size)
    assert sizes(queue) == [[2, 5], [3], [5, 2]]


def test_full_queue():
    queue = make(max_batch_size=7, max_enqueued_batches=2)
    for size in (7, 5):
        add(queue, size)
    with pytest.raises(errors.Unavailable) as caught:
        add(queue, 3)
    assert caught.value.message == (
        "The batch scheduling queue to which this task was submitted is full; currently "
        "2 batches enqueued and max_enqueued_batches is 2"
    )
    assert sizes(queue) == [[7], [5]]
    add(queue, 2)
    assert sizes(queue) == [[7], [5, 2]]


def test_requests_without_rows():
    queue = make(max_batch_size=2, max_enqueued_batches=1)
    add(queue, 0)
    add(queue, 2)
    add(queue, 0)
    assert sizes(queue) == [[0, 2, 0]]


def test_splitting():
    queue = make(max_batch_size=100, enable_large_batch_splitting=True, max_execution_batch_size=7)
    add(queue, 5)
    request = add(queue, 17)
    assert sizes(queue) == [[5, 2], [7], [7], [1]]
    assert request.unfinished == 4
    assert [len(task.feeds["x:0"]) for task in request.tasks] == [2, 7, 7, 1]


def test_splitting_needs_room_for_all():
    queue = make(
        max_batch_size=100,
        enable_large_batch_splitting=True,
        max_execution_batch_size=7,
        max_enqueued_batches=3,
    )
    add(queue, 5)
    with pytest.raises(errors.Unavailable):
        add(queue, 17)
    assert sizes(queue) == [[5]]
    add(queue, 16)
    assert sizes(queue) == [[5, 2], [7], [7]]


def test_a_lone_request_is_due_at_once():
    queue = make(batch_timeout_micros=3_000_000)
    add(queue, 1, now=11.0)
    assert queue.due_at() == 0


def test_while_a_batch_runs_the_next_one_gathers_until_the_timeout():
    queue = make(batch_timeout_micros=3_000_000, max_batch_size=5)
    add(queue, 1, now=11.0)
    first = queue.take()
    add(queue, 2, now=13.0)
    add(queue, 2, now=14.0)
    assert queue.due_at() == 16
    add(queue, 1, now=14.0)
    assert queue.due_at() == 0
    queue.ended(first, now=17.0, seconds=6.0)
    assert sizes(queue) == [[2, 2, 1]]
    assert queue.due_at() == 0


def test_those_who_were_answered_are_waited_for():
    queue = make(batch_timeout_micros=5_000_000)
    for _ in range(3):
        add(queue, 1)
    queue.ended(queue.take(), now=2.0, seconds=2.0)
    add(queue, 1, now=2.1)
    assert queue.due_at() == 3  # half of the time that the last batch took
    add(queue, 1, now=2.2)
    assert queue.due_at() == 3
    add(queue, 1, now=2.3)
    assert queue.due_at() == 0


def test_they_are_waited_for_no_longer_than_the_timeout():
    queue = make(batch_timeout_micros=500_000)
    for _ in range(3):
        add(queue, 1)
    queue.ended(queue.take(), now=2.0, seconds=8.0)
    add(queue, 1, now=2.25)
    assert queue.due_at() == 2.75


def test_without_a_timeout_nobody_waits():
    queue = make()
    add(queue, 1)
    queue.take()
    add(queue, 1, now=7.0)
    assert queue.due_at() == 7


def test_who_leaves_makes_room():
    queue = make(max_batch_size=5, max_enqueued_batches=1)
    first, second = add(queue, 2), add(queue, 3)
    queue.withdraw(first.tasks[0])
    assert (sizes(queue), first.unfinished) == ([[3]], 0)
    add(queue, 2)
    assert sizes(queue) == [[3, 2]]
    queue.withdraw(second.tasks[0])
    queue.withdraw(queue.batches[0].tasks[0])
    assert sizes(queue) == []
