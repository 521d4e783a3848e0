"""gRPC's reflection service.

Its package registers its messages in the process-wide pool, where nothing else has the same names.
The service describes the messages in the pool of the protocol.
"""

from collections.abc import Iterable
from typing import Any

import grpc
import grpc.aio
from google.protobuf import descriptor_pb2, text_format
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from keras_attention_serving.grpc.bounds import Bounds
from keras_attention_serving.protocol import wire

REFLECTION_SERVICE = "grpc.reflection.v1.ServerReflection"


def add_reflection(server: grpc.aio.Server, services: Iterable[str], bounds: Bounds) -> None:
    """Adds `grpc.reflection.v1.ServerReflection` for services by name, including itself.

    Adds the same as `v1alpha`, the only version that TensorFlow Serving and the package have.
    """
    for module in (health_pb2, reflection_pb2):
        wire.POOL.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    wire.POOL.Add(_stable_reflection())
    names = [*services, reflection.SERVICE_NAME, REFLECTION_SERVICE]
    servicer = reflection.aio.ReflectionServicer(names, pool=wire.POOL)
    handler = bounds.stream(
        servicer.ServerReflectionInfo,
        "ServerReflectionInfo",
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for name in (reflection.SERVICE_NAME, REFLECTION_SERVICE):
        _add(server, name, {"ServerReflectionInfo": handler})


def _add(server: grpc.aio.Server, service: str, handlers: dict[str, grpc.RpcMethodHandler]) -> None:
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))


def _stable_reflection() -> Any:
    """The `.proto` file of `v1`: that of `v1alpha` under another name."""
    alpha = descriptor_pb2.FileDescriptorProto.FromString(reflection_pb2.DESCRIPTOR.serialized_pb)
    stable = descriptor_pb2.FileDescriptorProto()
    text = text_format.MessageToString(alpha).replace("v1alpha", "v1")
    return text_format.Parse(text, stable)
