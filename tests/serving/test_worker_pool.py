"""The worker pool: runs in threads, and refusal of those that would end too late."""

import asyncio
import threading
import time

import pytest

from keras_attention_serving import errors
from keras_attention_serving.concurrency.cancellation import Cancellation
from keras_attention_serving.concurrency.worker_pool import WorkerPool


@pytest.fixture
def workers():
    workers = WorkerPool(2, "test")
    yield workers
    workers.close()


def test_a_run_has_a_thread_and_a_result(workers):
    async def main():
        assert await workers.run(threading.get_ident) != threading.get_ident()
        assert await workers.run(divmod, 17, 5) == (3, 2)
        with pytest.raises(ZeroDivisionError):
            await workers.run(divmod, 17, 0)

    asyncio.run(main())


def test_what_would_come_too_late_is_refused(workers):
    async def main():
        await workers.run(time.sleep, 0.01)
        assert workers._seconds >= 0.01
        workers._seconds = 0.01  # on a busy machine it took longer
        gate = threading.Event()
        waiting = []
        for _ in range(2):
            workers.admit(0.001)  # a thread is free: it may try
            waiting.append(workers.run(gate.wait, 30))
        # Ahead are 2 for 2 threads, 10 ms each.
        workers.admit(None)
        workers.admit(0.2)
        with pytest.raises(errors.ResourceExhausted, match="a run would end in 0.02"):
            workers.admit(0.015)
        waiting += [workers.run(gate.wait, 30) for _ in range(48)]
        workers.admit(0.4)
        with pytest.raises(errors.ResourceExhausted, match="and there are 0.2 s"):
            workers.admit(0.2)
        gate.set()
        await asyncio.gather(*waiting)
        workers.admit(0.001)

    asyncio.run(main())


def test_what_was_given_up_keeps_nobody_waiting(workers):
    async def main():
        await workers.run(time.sleep, 0.01)
        gate, given_up = threading.Event(), Cancellation()
        waiting = [workers.run(gate.wait, 30, cancellation=given_up) for _ in range(50)]
        workers._seconds = 1.0
        with pytest.raises(errors.ResourceExhausted, match="a run would end in 26 s"):
            workers.admit(7.0)
        given_up.cancel()
        workers.admit(7.0)
        gate.set()
        await asyncio.gather(*waiting)

    asyncio.run(main())


def test_a_failed_run_leaves_its_place(workers):
    async def main():
        futures = [workers.run(divmod, 1, 0) for _ in range(11)]
        await asyncio.gather(*futures, return_exceptions=True)
        time.sleep(0.01)
        workers.admit(0.0)

    asyncio.run(main())
