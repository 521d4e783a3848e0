"""RPC methods: the time that is left for a run in a thread."""

import contextlib
from types import SimpleNamespace

import pytest

from keras_attention_serving.grpc import methods
from keras_attention_serving.protocol import wire


@pytest.mark.parametrize(("timeout", "expected"), [(13.0, 8.0), (None, None)])
def test_the_wait_for_a_thread_is_subtracted(monkeypatch, timeout, expected):
    times = iter([2.0, 7.0])  # arrival, begin
    monkeypatch.setattr(methods, "time", SimpleNamespace(monotonic=lambda: next(times)))
    timeouts = []

    class Pending:
        def run(self, timeout, cancellation):
            timeouts.append(timeout)
            return wire.PredictResponse()

    service = SimpleNamespace(open=lambda api, request: contextlib.nullcontext(Pending()))
    context = SimpleNamespace(time_remaining=lambda: timeout)
    exchange = methods._Exchange(service, "Predict", wire.PredictRequest, b"", context)
    assert exchange.run_blocking(None) == b""
    assert timeouts == [expected]
