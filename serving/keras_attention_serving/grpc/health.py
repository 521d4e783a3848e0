"""gRPC's health service, as in TensorFlow Serving or following the state of the models."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc.aio
from grpc_health.v1 import health, health_pb2

from keras_attention_serving.grpc.bounds import Bounds
from keras_attention_serving.open_inference import messages
from keras_attention_serving.protocol import wire

SERVICE = health.SERVICE_NAME
# As in TensorFlow Serving: short names, and always the same answer.
SERVICES = ("", "ModelService", "PredictionService")
FULL_SERVICES = (wire.MODEL_SERVICE, wire.PREDICTION_SERVICE, messages.SERVICE)

_Request = health_pb2.HealthCheckRequest
_Status = health_pb2.HealthCheckResponse


class Health:
    """`grpc.health.v1.Health` for a server of `grpc.aio`; to be used in its event loop.

    Args:
        is_serving: returns True if the status is SERVING; called for every response. By default it
            always is, and only the short names of the services are known, as in TensorFlow Serving.
    """

    def __init__(self, is_serving: Callable[[], bool] | None = None) -> None:
        self._is_serving = is_serving or (lambda: True)
        self._services = SERVICES if is_serving is None else (*SERVICES, *FULL_SERVICES)
        self._stopping = False
        self._watching: set[asyncio.Event] = set()

    def add_to(self, server: grpc.aio.Server, bounds: Bounds) -> None:
        """Adds the service to a server, with the bounds on its calls."""
        handlers = {
            "Check": bounds.unary(self._check, "Check"),
            "Watch": bounds.watching(
                self._watch, "Watch", response_serializer=_Status.SerializeToString
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    def changed(self) -> None:
        """Makes the calls of `Watch` look at the status again."""
        for event in self._watching:
            event.set()

    def stop(self) -> None:
        """Ends the calls of `Watch`, which would never end by themselves."""
        self._stopping = True
        self.changed()

    async def _check(self, data: bytes, context: Any) -> bytes:
        status = self._status(_Request.FromString(data).service)
        if status == _Status.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "")
        result: bytes = _Status(status=status).SerializeToString()
        return result

    async def _watch(self, data: bytes, context: Any) -> None:
        service = _Request.FromString(data).service
        last, event = None, asyncio.Event()
        self._watching.add(event)
        try:
            while True:
                event.clear()
                status = self._status(service)
                if status != last:
                    await context.write(_Status(status=status))
                    last = status
                elif self._stopping:
                    break
                else:
                    await event.wait()
        finally:
            self._watching.discard(event)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "The server is stopping.")

    def _status(self, service: str) -> int:
        if service not in self._services:
            return int(_Status.SERVICE_UNKNOWN)
        return int(_Status.SERVING if self._is_serving() else _Status.NOT_SERVING)
