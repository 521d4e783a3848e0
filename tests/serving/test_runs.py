"""Runs in threads, and which of them are refused."""

import asyncio
import threading
import time

import pytest

from keras_attention_serving import errors
from keras_attention_serving.concurrency.cancellation import Cancellation
from keras_attention_serving.concurrency.worker_pool import Runs


@pytest.fixture
def runs():
    runs = Runs(2, "test")
    yield runs
    runs.close()


def test_a_run_has_a_thread_and_a_result(runs):
    async def main():
        assert await runs.run(threading.get_ident) != threading.get_ident()
        assert await runs.run(divmod, 17, 5) == (3, 2)
        with pytest.raises(ZeroDivisionError):
            await runs.run(divmod, 17, 0)

    asyncio.run(main())


def test_what_would_come_too_late_is_refused(runs):
    async def main():
        await runs.run(time.sleep, 0.01)
        assert runs._seconds >= 0.01
        runs._seconds = 0.01  # on a busy machine it took longer
        gate = threading.Event()
        waiting = []
        for _ in range(2):
            runs.admit(0.001)  # a thread is free: it may try
            waiting.append(runs.run(gate.wait, 30))
        # Ahead are 2 for 2 threads, 10 ms each.
        runs.admit(None)
        runs.admit(0.2)
        with pytest.raises(errors.ResourceExhausted, match="a run would end in 0.02"):
            runs.admit(0.015)
        waiting += [runs.run(gate.wait, 30) for _ in range(48)]
        runs.admit(0.4)
        with pytest.raises(errors.ResourceExhausted, match="and there are 0.2 s"):
            runs.admit(0.2)
        gate.set()
        await asyncio.gather(*waiting)
        runs.admit(0.001)

    asyncio.run(main())


def test_what_was_given_up_keeps_nobody_waiting(runs):
    async def main():
        await runs.run(time.sleep, 0.01)
        gate, given_up = threading.Event(), Cancellation()
        waiting = [runs.run(gate.wait, 30, cancellation=given_up) for _ in range(50)]
        runs._seconds = 1.0
        with pytest.raises(errors.ResourceExhausted, match="a run would end in 26 s"):
            runs.admit(7.0)
        given_up.cancel()
        runs.admit(7.0)
        gate.set()
        await asyncio.gather(*waiting)

    asyncio.run(main())


def test_a_failed_run_leaves_its_place(runs):
    async def main():
        futures = [runs.run(divmod, 1, 0) for _ in range(11)]
        await asyncio.gather(*futures, return_exceptions=True)
        time.sleep(0.01)
        runs.admit(0.0)

    asyncio.run(main())
