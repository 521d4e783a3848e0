"""Bursts of callables on an event loop, and work that is shielded from cancellation."""

import asyncio
import threading

import pytest

from keras_attention_serving.concurrency import event_loop
from keras_attention_serving.concurrency.cancellation import Cancellation
from keras_attention_serving.concurrency.event_loop import BurstCoalescer, shielded


def test_callables_of_a_burst_run_back_to_back():
    async def main():
        done = []
        coalescer = BurstCoalescer(lambda: done.append("burst done"))

        def task(number):
            return coalescer.run(lambda: done.append(number) or number)

        results = await asyncio.gather(task(2), task(3), task(5))
        assert results == [2, 3, 5]
        assert done == [2, 3, 5, "burst done"]
        assert await task(7) == 7
        assert done[4:] == [7, "burst done"]

    asyncio.run(main())


def test_connections_take_turns(monkeypatch):
    monkeypatch.setattr(event_loop, "MAX_BURST", 3)

    async def main():
        done = []
        coalescer = BurstCoalescer(lambda: done.append("burst done"))

        def task(number, connection):
            return coalescer.run(lambda: done.append(number), connection)

        many = [task(number, "many") for number in range(5)]
        await asyncio.gather(*many, task(7, "few"), task(11, "one"), task(13, "few"))
        assert done == [0, 7, 11, "burst done", 1, 13, 2, "burst done", 3, 4, "burst done"]

    asyncio.run(main())


def test_a_callable_that_fails_fails_alone():
    async def main():
        coalescer = BurstCoalescer()

        def fail():
            raise KeyError("only this one")

        results = await asyncio.gather(
            coalescer.run(lambda: 2),
            coalescer.run(fail),
            coalescer.run(lambda: 3),
            return_exceptions=True,
        )
        assert (results[0], results[2]) == (2, 3)
        assert isinstance(results[1], KeyError)

    asyncio.run(main())


def test_a_cancelled_callable_is_not_run():
    async def main():
        done = []
        coalescer = BurstCoalescer()
        gone = asyncio.ensure_future(coalescer.run(lambda: done.append("gone")))
        stays = asyncio.ensure_future(coalescer.run(lambda: done.append("stays")))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone, stays])
        assert gone.cancelled()
        assert done == ["stays"]

    asyncio.run(main())


@pytest.mark.parametrize("fails", [False, True])
def test_shielded(fails):
    """The task ends, as cancelled, when the work does, however often it is cancelled."""

    async def main():
        begun, gate = threading.Event(), threading.Event()
        ended = []

        def work():
            begun.set()
            assert gate.wait(30)
            ended.append(True)
            if fails:
                raise KeyError("nobody asks any more")

        cancellation = Cancellation()
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(shielded(loop.run_in_executor(None, work), cancellation))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)  # the thread may be there before the task is
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0.005)
            assert not task.done()
        assert cancellation.cancelled
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [True]

    asyncio.run(main())


def test_shielded_without_being_cancelled():
    async def main():
        loop = asyncio.get_running_loop()
        assert await shielded(loop.run_in_executor(None, lambda: 7)) == 7
        with pytest.raises(ZeroDivisionError):
            await shielded(loop.run_in_executor(None, lambda: 1 // 0))

    asyncio.run(main())
