"""Ctrl-C is never lost, and never comes in the middle of a batch."""

import os
import signal

import pytest

from keras_attention.training.interruption import Interruption


class InterruptedAtItsEnd:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(
    autouse=True, params=[signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name
)
def number(request):
    before = {n: signal.signal(n, signal.default_int_handler) for n in (2, 15)}
    yield request.param
    for n, handler in before.items():
        assert signal.getsignal(n) is signal.default_int_handler  # given back
        signal.signal(n, handler)


@pytest.mark.parametrize("end", ["on_train_batch_end", "on_test_batch_end"])
def test_it_waits_for_the_end_of_a_batch(number, end):
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        getattr(interruption, end)(0)
        os.kill(os.getpid(), number)
        assert interruption.asked
        getattr(interruption, end)(1)
        pytest.fail("went on")


def test_a_second_one_interrupts_at_once(number):
    with pytest.raises(KeyboardInterrupt), Interruption():
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        pytest.fail("went on")


def test_it_is_not_lost_in_a_destructor():
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        InterruptedAtItsEnd()
        assert interruption.asked


def test_other_handlers_are_left_alone(number):
    seen = []
    before = signal.signal(number, lambda *arguments: seen.append(arguments[0]))
    with Interruption() as interruption:
        os.kill(os.getpid(), number)
        assert not interruption.asked
    assert seen == [number]
    signal.signal(number, before)
