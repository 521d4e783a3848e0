"""Connection of a client to a server: options of the gRPC channel, TLS, retries and errors."""

import json
import math
import random
from collections.abc import Sequence
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any

import grpc

from keras_attention_serving import errors
from keras_attention_serving.protocol import wire

ChannelOptions = Sequence[tuple[str, Any]]

_TOO_LARGE = "message larger than max"  # of gRPC itself, on either side
_LONGEST_TIMEOUT = 10 * 365 * 86400  # gRPC takes later times for past ones


def tls(
    root_certificates: str | PathLike[str] | None = None,
    certificate: str | PathLike[str] | None = None,
    key: str | PathLike[str] | None = None,
) -> grpc.ChannelCredentials:
    """Credentials for a server behind TLS, from PEM files.

    Args:
        root_certificates: the authorities to trust; gRPC's own list by default.
        certificate: the client's certificate chain, if the server asks for one.
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

    Calls are spread over all addresses of the target, and sent again if there was no response,
    which is safe because a prediction has no side effects. For a busy server, see `pause`.

    Args:
        attempts: number of times that a call is tried, 1 to 5 (gRPC's own limit).
        extra: further options, which override the others.
    """
    whole = isinstance(attempts, Integral) and not isinstance(attempts, bool)
    if not whole or not 1 <= attempts <= 5:
        raise ValueError(f"Expected attempts from 1 to 5. Received: attempts={attempts!r:.80}")
    attempts = int(attempts)
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
    chosen["grpc.per_rpc_retry_buffer_size"] = wire.MAX_MESSAGE_BYTES  # large calls, too
    chosen["grpc.service_config"] = json.dumps(config)
    return list({**chosen, **dict(extra)}.items())


def pause(error: grpc.RpcError, tried: int, attempts: int, seconds_left: float) -> float | None:
    """Seconds to wait before a call that a busy server refused is tried again; None for never.

    gRPC itself could only go by the status, and a message that is too large has the same one,
    however often it is sent.

    Args:
        error: the failure.
        tried: number of times that the call has been tried.
        attempts: number of times that it may be tried.
        seconds_left: seconds until its deadline.
    """
    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED or tried >= attempts:
        return None
    never = wire.NO_RETRY in tuple(error.trailing_metadata() or ()) or _TOO_LARGE in (
        error.details() or ""
    )
    seconds = min(2.0, 0.1 * 2 ** (tried - 1)) * random.uniform(0.8, 1.2)
    return None if never or seconds >= seconds_left else seconds


def deadline(timeout: float) -> float:
    """Checks a timeout: the seconds that a call may take, which must be finite."""
    number = isinstance(timeout, Real) and not isinstance(timeout, bool)
    if not number or not 0 < timeout < math.inf:
        raise ValueError(
            f"Expected a finite timeout of more than 0 seconds. Received: timeout={timeout!r:.80}"
        )
    return float(min(timeout, _LONGEST_TIMEOUT))


def count(name: str, value: int | None, least: int) -> int | None:
    """Checks an argument that is a number of things, or None: no limit."""
    if value is not None and (
        not isinstance(value, Integral) or isinstance(value, bool) or value < least
    ):
        raise ValueError(
            f"Expected {name} of at least {least}, or None. Received: {name}={value!r:.80}"
        )
    return value


def closed(target: str) -> errors.Cancelled:
    """The exception for a call on a client that is closed."""
    return errors.Cancelled(f"The client of {target} is closed.")


def compression(gzip: bool) -> grpc.Compression | None:
    return grpc.Compression.Gzip if gzip else None


def error_from_rpc(error: grpc.RpcError, target: str) -> errors.ServingError:
    """The exception for a failed call; if there was no response, its text names the address."""
    code: int = error.code().value[0]
    details = error.details() or ""
    if code == errors.Unavailable.code:
        details = f"No answer from {target}: {details}"
    return errors.from_code(code, details)
