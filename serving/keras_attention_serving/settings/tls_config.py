"""TLS of the gRPC and the REST server: a text file of `SSLConfig` that contains PEM texts.

server_key: "-----BEGIN PRIVATE KEY-----\\n..."
server_cert: "-----BEGIN CERTIFICATE-----\\n..."
custom_ca: "..."        # the authority that signs the clients' certificates
client_verify: true     # refuse clients without one
"""

import ssl
import tempfile
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from keras_attention_serving import errors
from keras_attention_serving.protocol import text_proto, wire

# The official Python package leaves this message out.
_FILE = FileDescriptorProto(
    name="tensorflow_serving/config/ssl_config.proto",
    package="tensorflow.serving",
    syntax="proto3",
)
_MESSAGE = _FILE.message_type.add(name="SSLConfig")
for _number, _name in enumerate(("server_key", "server_cert", "custom_ca", "client_verify"), 1):
    _MESSAGE.field.add(
        name=_name,
        number=_number,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
        type=FieldDescriptorProto.TYPE_BOOL if _number == 4 else FieldDescriptorProto.TYPE_STRING,
    )
wire.POOL.Add(_FILE)
SSLConfig = wire.message("tensorflow.serving.SSLConfig")


def credentials(path: str) -> grpc.ServerCredentials:
    """The credentials of gRPC from a file.

    Raises `errors.ServingError` if it cannot be read, holds something else, or asks for the
    certificates of clients without an authority that signs them.
    """
    config = _read(path)
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


def context(path: str) -> ssl.SSLContext:
    """The context of REST; raises `errors.ServingError` also for a broken key or certificate."""
    config = _read(path)
    result = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Python reads keys only from files.
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = Path(folder, "key"), Path(folder, "certificate")
        key.write_text(config.server_key)
        certificate.write_text(config.server_cert)
        try:
            result.load_cert_chain(certificate, key, password=_no_password)
            if config.client_verify:
                result.load_verify_locations(cadata=config.custom_ca)
                result.verify_mode = ssl.CERT_REQUIRED
        except (ssl.SSLError, ValueError) as error:
            raise errors.InvalidArgument(
                f"Expected keys and certificates in PEM format. Received: '{path}' ({error})"
            ) from None
    return result


def _no_password() -> str:
    raise ValueError("a key with a password")


def _read(path: str) -> Any:
    config = text_proto.read(path, SSLConfig)
    if not (config.server_key and config.server_cert):
        raise errors.InvalidArgument(
            f"Expected server_key and server_cert. Received: '{path}' without them"
        )
    if config.client_verify and not config.custom_ca:
        raise errors.InvalidArgument(
            f"Expected custom_ca, which client_verify needs. Received: '{path}' without it"
        )
    return config
