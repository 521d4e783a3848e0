"""gRPC's own services: health checks and reflection.

Their packages register their messages in the process-wide pool, where nothing else has the same
names. Reflection answers from the pool of the protocol.
"""

from collections.abc import Iterable

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from keras_attention_serving import wire

# As in TensorFlow Serving: short names, and always the same answer.
HEALTHY = ("", "ModelService", "PredictionService")
HEALTH_SERVICE = health.SERVICE_NAME


async def add_health(server: grpc.aio.Server) -> None:
    """Adds `grpc.health.v1.Health`: everything is well as long as the server answers."""
    servicer = health.aio.HealthServicer()
    for name in HEALTHY:
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)


def add_reflection(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Adds `grpc.reflection.v1alpha.ServerReflection` over services by name, itself included."""
    for module in (health_pb2, reflection_pb2):
        wire.POOL.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    reflection.enable_server_reflection(
        [*services, reflection.SERVICE_NAME], server, pool=wire.POOL
    )
