"""How a client reaches a server: options of the gRPC channel, TLS, and errors on the way back."""

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import grpc

from keras_attention_serving import errors, wire

ChannelOptions = Sequence[tuple[str, Any]]


def tls(
    root_certificates: str | PathLike[str] | None = None,
    certificate: str | PathLike[str] | None = None,
    key: str | PathLike[str] | None = None,
) -> grpc.ChannelCredentials:
    """Credentials for a server behind TLS, from PEM files.

    Args:
        root_certificates: whom to trust; gRPC's own list by default.
        certificate: the client's certificate chain, if the server wants to know its clients.
        key: the private key of `certificate`.

    Raises:
        ValueError: only one of `certificate` and `key` is given.
        OSError: a file cannot be read.
    """
    if (certificate is None) != (key is None):
        raise ValueError(
            "Expected certificate and key together. "
            f"Received: certificate={certificate}, key={'None' if key is None else '...'}"
        )
    return grpc.ssl_channel_credentials(
        *(None if path is None else Path(path).read_bytes() for path in (root_certificates, key)),
        certificate_chain=None if certificate is None else Path(certificate).read_bytes(),
    )


def options(attempts: int, extra: ChannelOptions) -> list[tuple[str, Any]]:
    """The options of a channel.

    Calls are spread over all addresses of the target, and sent again if nobody answered: a
    prediction has no side effects, so that this is safe.

    Args:
        attempts: how often a call is tried, 1 to 5 (gRPC's own limit).
        extra: further options; one that is already set is replaced.
    """
    if not 1 <= attempts <= 5:
        raise ValueError(f"Expected attempts from 1 to 5. Received: attempts={attempts}")
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if attempts > 1:
        policy = {
            "maxAttempts": attempts,
            "initialBackoff": "0.1s",
            "maxBackoff": "2s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        config["methodConfig"] = [{"name": [{}], "retryPolicy": policy}]
    chosen: dict[str, Any] = dict(wire.CHANNEL_SIZE_OPTIONS)
    chosen["grpc.service_config"] = json.dumps(config)
    return list({**chosen, **dict(extra)}.items())


def deadline(timeout: float) -> float:
    """Checks the seconds that a call may take. "For ever" is not among the choices."""
    if not timeout or timeout < 0:
        raise ValueError(f"Expected a timeout of more than 0 seconds. Received: timeout={timeout}")
    return timeout


def compression(gzip: bool) -> grpc.Compression | None:
    return grpc.Compression.Gzip if gzip else None


def error_from_rpc(error: grpc.RpcError, target: str) -> errors.ServingError:
    """The exception for a failed call. That nobody answers is said with the address."""
    code: int = error.code().value[0]
    details = error.details() or ""
    if code == errors.Unavailable.code:
        details = f"No answer from {target}: {details}"
    return errors.from_code(code, details)
