"""Work that tasks of an event loop do together, and work that has to reach its end."""

import asyncio
import threading

import pytest

from keras_attention_serving.concurrency import event_loop as loop_tasks
from keras_attention_serving.concurrency.cancellation import Cancellation
from keras_attention_serving.concurrency.event_loop import Together, to_the_end


def test_pieces_are_done_one_right_after_the_other():
    async def main():
        done = []
        together = Together(lambda: done.append("afterwards"))

        def task(number):
            return together.do(lambda: done.append(number) or number)

        results = await asyncio.gather(task(2), task(3), task(5))
        assert results == [2, 3, 5]
        assert done == [2, 3, 5, "afterwards"]
        assert await task(7) == 7
        assert done[4:] == [7, "afterwards"]

    asyncio.run(main())


def test_a_connection_with_many_pieces_does_not_come_before_others(monkeypatch):
    monkeypatch.setattr(loop_tasks, "AT_ONCE", 3)

    async def main():
        done = []
        together = Together(lambda: done.append("afterwards"))

        def task(number, connection):
            return together.do(lambda: done.append(number), connection)

        many = [task(number, "many") for number in range(5)]
        await asyncio.gather(*many, task(7, "few"), task(11, "one"), task(13, "few"))
        assert done == [0, 7, 11, "afterwards", 1, 13, 2, "afterwards", 3, 4, "afterwards"]

    asyncio.run(main())


def test_a_piece_that_fails_fails_alone():
    async def main():
        together = Together()

        def fail():
            raise KeyError("only this one")

        results = await asyncio.gather(
            together.do(lambda: 2),
            together.do(fail),
            together.do(lambda: 3),
            return_exceptions=True,
        )
        assert (results[0], results[2]) == (2, 3)
        assert isinstance(results[1], KeyError)

    asyncio.run(main())


def test_a_cancelled_piece_is_not_done():
    async def main():
        done = []
        together = Together()
        gone = asyncio.ensure_future(together.do(lambda: done.append("gone")))
        stays = asyncio.ensure_future(together.do(lambda: done.append("stays")))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone, stays])
        assert gone.cancelled()
        assert done == ["stays"]

    asyncio.run(main())


@pytest.mark.parametrize("fails", [False, True])
def test_to_the_end(fails):
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
        task = asyncio.ensure_future(to_the_end(loop.run_in_executor(None, work), cancellation))
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


def test_to_the_end_without_being_cancelled():
    async def main():
        loop = asyncio.get_running_loop()
        assert await to_the_end(loop.run_in_executor(None, lambda: 7)) == 7
        with pytest.raises(ZeroDivisionError):
            await to_the_end(loop.run_in_executor(None, lambda: 1 // 0))

    asyncio.run(main())
