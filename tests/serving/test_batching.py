"""Batchers over a model that is a function: the batches, and the result of each caller."""

import asyncio
import functools
import gc
import random
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from keras_attention_serving import errors
from keras_attention_serving.batching.batchers import Batcher, Batching
from keras_attention_serving.batching.parameters import Parameters
from keras_attention_serving.batching.scheduler import Scheduler
from keras_attention_serving.concurrency.cancellation import Cancellation
from keras_attention_serving.monitoring.metrics import Metrics
from keras_attention_serving.protocol import wire

LONG = 60_000_000  # microseconds


def signature():
    result = wire.SignatureDef()
    result.inputs["x"].name = "x:0"
    result.outputs["double"].name = "b:0"
    result.outputs["same"].name = "a:0"
    return result


class Doubler:
    """A model of `a = x` and `b = 2 x` that records its runs and waits for `gate`."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.calls = []
        self.signatures = {"serving_default": signature()}

    def run(self, feeds, fetches, timeout=None):
        x = feeds["x:0"]
        self.calls.append(SimpleNamespace(x=x, timeout=timeout, thread=threading.get_ident()))
        assert self.gate.wait(30)
        if (x == 13).any():
            raise errors.OutOfRange("13 is bad luck")
        if (x == 17).any():
            raise KeyError("a bug")
        return [{"a:0": x, "b:0": 2 * x}[name] for name in fetches]

    def is_quick(self, feeds, fetches):
        return False


class Setting:
    """A batcher over a `Doubler`, and callers in threads."""

    def __init__(self, threads=1, **values):
        self.model = Doubler()
        self.scheduler = Scheduler(threads)
        self.batcher = Batcher(self.model.signatures, Parameters(**values), self.scheduler)
        self.pool = ThreadPoolExecutor(32)

    def ask(self, *rows, timeout=None, cancellation=None, fetches=("b:0", "a:0")):
        feeds = {"x:0": np.array(rows, np.float32)}
        double, same = self.batcher.run(self.model, feeds, fetches, timeout, cancellation)
        return double.tolist(), same.tolist()

    def waiting(self):
        return self.scheduler.waiting(list(self.batcher.queues.values()))

    def begin(self, *rows, **options):
        """Sends a request from a thread; returns when it is queued or runs."""
        before = self.waiting(), len(self.model.calls)
        future = self.pool.submit(self.ask, *rows, **options)
        until(lambda: (self.waiting(), len(self.model.calls)) != before or future.done())
        return future

    def begin_behind_closed_gate(self, *requests, **options):
        """Begins a run that ends when the gate is opened, and requests that wait for it."""
        self.model.gate.clear()
        self.first = self.begin(1)
        return [self.begin(*rows, **options) for rows in requests]


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_lone_request_is_run_at_once_by_its_caller():
    setting = Setting(batch_timeout_micros=LONG)
    assert setting.ask(2, 3) == ([4, 6], [2, 3])
    assert setting.ask(5) == ([10], [5])
    assert [call.thread for call in setting.model.calls] == [threading.get_ident()] * 2


def test_requests_that_wait_are_run_together():
    setting = Setting(batch_timeout_micros=LONG)
    futures = setting.begin_behind_closed_gate((2, 3), (5,), (7, 11))
    setting.model.gate.set()
    assert [future.result(30) for future in futures] == [
        ([4, 6], [2, 3]),
        ([10], [5]),
        ([14, 22], [7, 11]),
    ]
    assert [call.x.tolist() for call in setting.model.calls] == [[1], [2, 3, 5, 7, 11]]


def test_batches_are_filled_up_to_an_allowed_size():
    setting = Setting(max_batch_size=7, allowed_batch_sizes=(2, 5, 7), batch_timeout_micros=LONG)
    futures = setting.begin_behind_closed_gate((2,), (3, 5))
    setting.model.gate.set()
    assert [future.result(30)[0] for future in futures] == [[4], [6, 10]]
    assert [call.x.tolist() for call in setting.model.calls] == [[1, 1], [2, 3, 5, 3, 3]]


def test_a_full_batch_is_not_waited_with():
    setting = Setting(threads=2, max_batch_size=3, batch_timeout_micros=LONG)
    futures = setting.begin_behind_closed_gate((2,), (3, 5))
    until(lambda: len(setting.model.calls) == 2)
    setting.model.gate.set()
    assert [future.result(30)[0] for future in futures] == [[4], [6, 10]]


def test_the_timeout_ends_the_waiting():
    setting = Setting(threads=2, batch_timeout_micros=50_000)
    futures = setting.begin_behind_closed_gate((2,), (3,))
    until(lambda: len(setting.model.calls) == 2)
    setting.model.gate.set()
    assert [future.result(30)[0] for future in futures] == [[4], [6]]


def test_the_oldest_batch_goes_first_over_all_models():
    setting = Setting(batch_timeout_micros=LONG)
    other = Setting(batch_timeout_micros=LONG)
    other.scheduler = setting.scheduler
    other.batcher = Batcher(other.model.signatures, Parameters(), setting.scheduler)
    (mine,) = setting.begin_behind_closed_gate((2,))
    theirs = other.begin(3)
    assert (other.waiting(), other.model.calls) == (1, [])
    setting.model.gate.set()
    assert (mine.result(30)[0], theirs.result(30)[0]) == ([4], [6])


def test_one_bad_request_fails_its_whole_batch():
    setting = Setting(batch_timeout_micros=LONG)
    futures = setting.begin_behind_closed_gate((2,), (13,), (3,))
    setting.model.gate.set()
    for future in futures:
        with pytest.raises(errors.OutOfRange, match="^13 is bad luck$"):
            future.result(30)
    assert setting.ask(5) == ([10], [5])


def test_shapes_that_differ_fail_the_batch():
    setting = Setting(batch_timeout_micros=LONG)
    futures = setting.begin_behind_closed_gate((2,), ((3, 5),))
    setting.model.gate.set()
    for future in futures:
        with pytest.raises(errors.FailedPrecondition, match="'x:0' from different tasks"):
            future.result(30)


def test_shapes_are_filled_up_and_results_are_not_cut():
    setting = Setting(batch_timeout_micros=LONG, pad_variable_length_inputs=True)
    futures = setting.begin_behind_closed_gate(((2, 3, 5),), ((7,),))
    setting.model.gate.set()
    assert [future.result(30)[0] for future in futures] == [[[4, 6, 10]], [[14, 14, 14]]]


@pytest.mark.parametrize(
    ("sizes", "x", "fits"),
    [
        ((-1, 3), [[2, 3, 5, 7]], False),
        ((-1, 3), [[2, 3]], False),
        ((-1, 3), [2, 3, 5], False),
        ((-1, 3, -1), [[[2], [3], [5]]], True),
        ((-1, 2, -1), [[[2], [3], [5]]], False),
        ((2, 3), [[2, 3, 5]], True),  # a batch may have any number of rows
        ((-1, -1), [[2, 3, 5, 7]], True),
    ],
)
def test_only_open_axes_are_filled_up(sizes, x, fits):
    """A request that the signature does not allow is refused alone."""
    model = Doubler()
    for size in sizes:
        model.signatures["serving_default"].inputs["x"].tensor_shape.dim.add(size=size)
    parameters = Parameters(pad_variable_length_inputs=True, batch_timeout_micros=LONG)
    batcher = Batcher(model.signatures, parameters, Scheduler(1))
    x = np.array(x, np.float32)
    if fits:
        double, _ = batcher.run(model, {"x:0": x}, ["b:0", "a:0"])
        assert double.tolist() == (2 * x).tolist()
    else:
        with pytest.raises(errors.InvalidArgument, match="does not fit that of the signature"):
            batcher.run(model, {"x:0": x}, ["b:0", "a:0"])
        assert not model.calls


@pytest.mark.parametrize("stranger", [np.float64([2]), np.float32([[2, 3]]), np.array([b"2"], "O")])
def test_a_request_that_does_not_fit_the_signature_runs_alone(stranger):
    model = Doubler()
    info = model.signatures["serving_default"].inputs["x"]
    info.dtype = 1  # DT_FLOAT
    info.tensor_shape.dim.add(size=-1)
    batcher = Batcher(model.signatures, Parameters(batch_timeout_micros=LONG), Scheduler(1))
    with ThreadPoolExecutor(4) as pool:

        def begin(x):
            before = len(model.calls), waiting()
            future = pool.submit(batcher.run, model, {"x:0": x}, ["a:0"])
            until(lambda: (len(model.calls), waiting()) != before)
            return future

        def waiting():
            return sum(queue.waiting() for queue in batcher.queues.values())

        model.gate.clear()
        futures = [begin(x) for x in (np.float32([1]), np.float32([5]), stranger, np.float32([7]))]
        model.gate.set()
        assert [future.result(30)[0].tolist() for future in futures[:2]] == [[1], [5]]
        assert futures[3].result(30)[0].tolist() == [7]
    assert any(call.x is stranger for call in model.calls)


def test_a_bug_leaves_nobody_waiting():
    setting = Setting(batch_timeout_micros=LONG)
    futures = setting.begin_behind_closed_gate((2,), (17,))
    setting.model.gate.set()
    for future in futures:
        with pytest.raises(KeyError, match="a bug"):
            future.result(30)
    assert setting.ask(5) == ([10], [5])


def test_a_request_that_is_too_large():
    setting = Setting(max_batch_size=3)
    with pytest.raises(errors.InvalidArgument) as caught:
        setting.ask(1, 2, 3, 4)
    assert caught.value.message == "Task size 4 is larger than maximum input batch size 3"


def test_a_queue_that_is_full():
    setting = Setting(max_batch_size=2, max_enqueued_batches=1, batch_timeout_micros=LONG)
    (future,) = setting.begin_behind_closed_gate((2, 3))
    with pytest.raises(errors.Unavailable, match="is full; currently 1 batches enqueued"):
        setting.ask(5)
    setting.model.gate.set()
    assert future.result(30)[0] == [4, 6]


def test_large_requests_are_spread_over_batches():
    setting = Setting(
        max_batch_size=50,
        enable_large_batch_splitting=True,
        max_execution_batch_size=3,
        batch_timeout_micros=LONG,
    )
    futures = setting.begin_behind_closed_gate((2,), (3, 5, 7, 11, 19))
    setting.model.gate.set()
    assert [future.result(30) for future in futures] == [
        ([4], [2]),
        ([6, 10, 14, 22, 38], [3, 5, 7, 11, 19]),
    ]
    assert [call.x.tolist() for call in setting.model.calls[1:]] == [[2, 3, 5], [7, 11, 19]]


def test_a_part_that_fails_fails_its_request():
    setting = Setting(
        max_batch_size=50, enable_large_batch_splitting=True, max_execution_batch_size=2
    )
    with pytest.raises(errors.OutOfRange):
        setting.ask(2, 3, 13, 5, 7)
    assert setting.waiting() == 0
    assert setting.ask(5) == ([10], [5])


def test_outputs_of_no_signature_are_run_alone():
    setting = Setting(max_batch_size=2)
    feeds = {"x:0": np.array([1, 2, 3], np.float32)}
    (double,) = setting.batcher.run(setting.model, feeds, ["b:0"])
    assert double.tolist() == [2, 4, 6]


def test_the_deadline_in_the_queue():
    setting = Setting(batch_timeout_micros=LONG)
    (late,) = setting.begin_behind_closed_gate((2,), timeout=0.05)
    with pytest.raises(errors.ResourceExhausted) as caught:
        late.result(30)
    assert caught.value.message == "Run() timeout exceeded while waiting in batching queue"
    assert setting.waiting() == 0
    setting.model.gate.set()
    setting.first.result(30)
    assert len(setting.model.calls) == 1


def test_a_deadline_that_is_over_is_not_run():
    setting = Setting()
    with pytest.raises(errors.ResourceExhausted):
        setting.ask(2, timeout=0)
    assert setting.model.calls == []


def test_a_batch_may_take_as_long_as_the_most_patient_of_its_callers():
    setting = Setting(batch_timeout_micros=LONG)
    setting.begin_behind_closed_gate((2,), timeout=20)
    futures = [setting.begin(3, timeout=50), setting.begin(5, timeout=40)]
    setting.model.gate.set()
    [future.result(30) for future in futures]
    assert [call.timeout is None for call in setting.model.calls] == [True, False]
    assert 40 < setting.model.calls[1].timeout <= 50


def test_the_deadline_in_a_run_of_others():
    setting = Setting(batch_timeout_micros=LONG)
    setting.model.gate.clear()
    first = setting.begin(1)
    leader, follower = setting.begin(2), setting.begin(3, timeout=1)
    setting.model.gate.set()
    first.result(30)
    assert (leader.result(30)[0], follower.result(30)[0]) == ([4], [6])


def test_a_client_that_left_gives_up_its_place():
    setting = Setting(max_batch_size=2, max_enqueued_batches=1, batch_timeout_micros=LONG)
    cancellation = Cancellation()
    (left,) = setting.begin_behind_closed_gate((2, 3), cancellation=cancellation)
    cancellation.cancel()
    with pytest.raises(errors.Cancelled):
        left.result(30)
    future = setting.begin(5)
    setting.model.gate.set()
    assert future.result(30)[0] == [10]
    assert [call.x.tolist() for call in setting.model.calls] == [[1], [5]]


def test_another_leads_when_the_leader_left():
    setting = Setting(threads=2, batch_timeout_micros=300_000)
    cancellation = Cancellation()
    setting.begin_behind_closed_gate((2,), cancellation=cancellation)
    future = setting.begin(3)
    cancellation.cancel()
    until(lambda: len(setting.model.calls) == 2)
    setting.model.gate.set()
    assert future.result(30)[0] == [6]


def test_a_client_that_left_before():
    setting = Setting()
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(errors.Cancelled):
        setting.ask(2, cancellation=cancellation)
    assert setting.model.calls == []


def test_nobody_is_lost():
    setting = Setting(
        threads=3,
        max_batch_size=7,
        batch_timeout_micros=300,
        max_enqueued_batches=3,
        enable_large_batch_splitting=True,
        max_execution_batch_size=5,
    )

    def client(seed):
        chance = random.Random(seed)
        outcomes = set()
        for _ in range(150):
            rows = [chance.choice((2, 3, 5, 7)) for _ in range(chance.randint(1, 7))]
            cancellation = Cancellation()
            if chance.random() < 0.1:
                threading.Timer(chance.random() / 1000, cancellation.cancel).start()
            if chance.random() < 0.02:
                rows[0] = 13
            timeout = chance.choice((None, None, 0.001))
            try:
                double, _ = setting.ask(*rows, timeout=timeout, cancellation=cancellation)
            except errors.ServingError as error:
                outcomes.add(type(error).__name__)
            else:
                assert double == [2 * row for row in rows]
                outcomes.add("OK")
        return outcomes

    futures = [setting.pool.submit(client, seed) for seed in range(16)]
    outcomes = set().union(*(future.result(60) for future in futures))
    assert {"OK", "OutOfRange", "Unavailable"} <= outcomes
    assert setting.waiting() == 0
    ran = len(setting.model.calls)
    setting.model.gate.clear()
    futures = [setting.pool.submit(setting.ask, *[row] * 5) for row in (2, 3, 5)]
    until(lambda: len(setting.model.calls) == ran + 3)  # every place is free again
    setting.model.gate.set()
    [future.result(30) for future in futures]


class Record(Metrics):
    def __init__(self):
        self.notes = []
        self.depth = None

    def batching_input(self, size):
        self.notes.append(("input", size))

    def batching_run(self, model, size, padded_size):
        self.notes.append((model, size, padded_size))

    def batching_queued(self, thread_pool, seconds):
        self.notes.append((thread_pool, seconds < 30))

    def watch_queue(self, model, depth):
        self.depth = depth


def test_batching_of_models():
    record = Record()
    parameters = Parameters(
        max_batch_size=5, allowed_batch_sizes=(5,), num_batch_threads=1, thread_pool_name="pool"
    )
    batching = Batching(parameters, metrics=record)
    model = Doubler()
    feeds = {"x:0": np.array([2, 3], np.float32)}
    assert batching.batcher("model", model).run(model, feeds, ["a:0", "b:0"])[1].tolist() == [4, 6]
    assert record.notes == [("input", 2), ("pool", True), ("model", 2, 5)]
    assert record.depth() == 0
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_parameters_of_each_model(tmp_path):
    batching = Batching(Parameters(max_batch_size=1), per_model=True)
    with_own, without = Doubler(), Doubler()
    (tmp_path / "with").mkdir()
    (tmp_path / "with" / "batching_params.pbtxt").write_text("max_batch_size { value: 2 }")
    batching.prepare(with_own, tmp_path / "with")
    batching.prepare(without, tmp_path)
    feeds = {"x:0": np.array([2, 3, 5], np.float32)}
    with pytest.raises(errors.InvalidArgument, match="maximum input batch size 2"):
        batching.batcher("a", with_own).run(with_own, feeds, ["a:0", "b:0"])
    assert batching.batcher("b", without) is None


def test_bad_parameters_of_a_model(tmp_path):
    (tmp_path / "batching_params.pbtxt").write_text("nonsense")
    with pytest.raises(errors.InvalidArgument, match="Invalid protobuf file"):
        Batching(per_model=True).prepare(Doubler(), tmp_path)


# Tasks of an event loop.


class Loop:
    """A batcher over a `Doubler`, and callers in tasks; runs are in threads unless quick."""

    def __init__(self, threads=1, quick=False, **values):
        self.model = Doubler()
        self.model.is_quick = lambda feeds, fetches: quick and feeds["x:0"].nbytes < 100
        self.scheduler = Scheduler(threads)
        self.batcher = Batcher(self.model.signatures, Parameters(**values), self.scheduler)
        self.pool = ThreadPoolExecutor(4)

    def begin(self, *rows, timeout=None):
        feeds = {"x:0": np.array(rows, np.float32)}
        pending = self.batcher.enqueue(self.model, feeds, ["b:0", "a:0"], timeout)
        return asyncio.ensure_future(pending.outputs(self.run_in_thread))

    def run_in_thread(self, function, *arguments):
        return asyncio.get_running_loop().run_in_executor(self.pool, function, *arguments)

    async def running(self, count=1):
        while len(self.model.calls) < count:
            await asyncio.sleep(0.001)


def doubled(outputs):
    return outputs[0].tolist()


def on_a_loop(test):
    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 30))

    return run


@on_a_loop
async def test_tasks_that_wait_are_run_together():
    setting = Loop(batch_timeout_micros=LONG)
    setting.model.gate.clear()
    first = setting.begin(1)
    await setting.running()
    others = [setting.begin(2, 3), setting.begin(5)]
    await asyncio.sleep(0)
    setting.model.gate.set()
    assert doubled(await first) == [2]
    assert [doubled(await other) for other in others] == [[4, 6], [10]]
    assert [call.x.tolist() for call in setting.model.calls] == [[1], [2, 3, 5]]
    assert threading.get_ident() not in {call.thread for call in setting.model.calls}


@on_a_loop
async def test_what_is_quick_is_run_in_place():
    setting = Loop(quick=True, batch_timeout_micros=LONG)
    first = setting.begin(2)
    setting.scheduler.run_quick()
    assert [call.x.tolist() for call in setting.model.calls] == [[2]]
    assert doubled(await first) == [4]
    assert {call.thread for call in setting.model.calls} == {threading.get_ident()}
    # A batch is no longer quick when it is large; then its leader has it run elsewhere.
    large = setting.begin(*[2] * 50)
    setting.scheduler.run_quick()
    assert len(setting.model.calls) == 1
    assert len(doubled(await large)) == 50
    assert setting.model.calls[-1].thread != threading.get_ident()


@on_a_loop
async def test_a_cancelled_task_gives_up_its_place():
    setting = Loop(batch_timeout_micros=LONG)
    setting.model.gate.clear()
    first = setting.begin(1)
    await setting.running()
    leaves, stays = setting.begin(2), setting.begin(3)
    await asyncio.sleep(0)
    leaves.cancel()
    await asyncio.wait([leaves])
    assert leaves.cancelled()
    setting.model.gate.set()
    assert [doubled(await task) for task in (first, stays)] == [[2], [6]]
    assert [call.x.tolist() for call in setting.model.calls] == [[1], [3]]


@on_a_loop
async def test_a_cancelled_leader_sees_its_batch_through():
    setting = Loop(max_batch_size=2, batch_timeout_micros=LONG)
    setting.model.gate.clear()
    leader, follower = setting.begin(2), setting.begin(3)
    await setting.running()
    leader.cancel()
    await asyncio.sleep(0.01)
    assert not leader.done()  # what it runs is still in use
    setting.model.gate.set()
    assert doubled(await follower) == [6]
    await asyncio.wait([leader])
    assert leader.cancelled()


@on_a_loop
async def test_a_leader_cancelled_before_it_saw_its_batch():
    setting = Loop(batch_timeout_micros=LONG)
    leader, follower = setting.begin(2), setting.begin(3)
    setting.scheduler._dispatch(time.monotonic())  # the batch lies in the leader's inbox
    await asyncio.sleep(0)
    leader.cancel()
    assert doubled(await follower) == [6]
    await asyncio.wait([leader])
    assert leader.cancelled()


@on_a_loop
async def test_a_task_waits_as_long_as_it_may():
    setting = Loop(batch_timeout_micros=LONG)
    setting.model.gate.clear()
    first = setting.begin(1)
    await setting.running()
    with pytest.raises(errors.ResourceExhausted, match="in batching queue"):
        await setting.begin(2, timeout=0.01)
    setting.model.gate.set()
    assert doubled(await first) == [2]


@on_a_loop
async def test_an_error_reaches_every_task_of_a_batch():
    setting = Loop(batch_timeout_micros=LONG)
    setting.model.gate.clear()
    first = setting.begin(1)
    await setting.running()
    tasks = [setting.begin(13), setting.begin(2)]
    await asyncio.sleep(0)
    setting.model.gate.set()
    await first
    for task in tasks:
        with pytest.raises(errors.OutOfRange, match="bad luck"):
            await task


@on_a_loop
async def test_threads_and_tasks_share_a_batch():
    setting = Loop(batch_timeout_micros=LONG)
    setting.model.gate.clear()
    first = setting.begin(1)
    await setting.running()
    feeds = {"x:0": np.array([2], np.float32)}
    queues = list(setting.batcher.queues.values())
    other = setting.run_in_thread(setting.batcher.run, setting.model, feeds, ["b:0", "a:0"])
    while not setting.scheduler.waiting(queues):
        await asyncio.sleep(0.001)
    task = setting.begin(3)
    setting.model.gate.set()
    await first
    assert doubled(await other) == [4]
    assert doubled(await task) == [6]
    assert [call.x.tolist() for call in setting.model.calls] == [[1], [2, 3]]
