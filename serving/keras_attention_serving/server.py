"""A server of SavedModels that speaks TensorFlow Serving's gRPC API, for one process."""

import functools
import socket
from collections.abc import Mapping
from os import PathLike

import grpc

from keras_attention_serving import errors, servable
from keras_attention_serving.grpc_server import make_server
from keras_attention_serving.servables import Servables
from keras_attention_serving.service import Service

GRACE_SECONDS = 30.0


class Server:
    """Serves models from the moment it is made, until `stop`.

        with Server({"date_normalizer": "saved_models/date_normalizer"}, port=0) as server:
            client = Client(f"localhost:{server.port}")

    The newest version of each model is served; a newer one that appears in the folder replaces it
    without a gap. The port opens when all models are loaded.

    Args:
        models: base path, the folder of the version folders, by name of the model.
        port: TCP port; 0 picks a free one.
        host: address to listen on.
        credentials: `grpc.ssl_server_credentials(...)` for TLS; no encryption by default.
        socket_path: also listen on this UNIX socket.
        poll_wait_seconds: how often to look for new versions; 0 for never.
        max_threads: how many calls may run at a time; 4 per processor by default.
        enable_warmup: answer the warm-up requests beside a model before it is available.

    Attributes:
        port: the TCP port.

    Raises:
        errors.StartError (an OSError): a folder is missing or without a version, no version of a
            model can be loaded, or the port is taken.
    """

    def __init__(
        self,
        models: Mapping[str, str | PathLike[str]],
        *,
        port: int = 8500,
        host: str = "0.0.0.0",
        credentials: grpc.ServerCredentials | None = None,
        socket_path: str | PathLike[str] | None = None,
        poll_wait_seconds: float = 1.0,
        max_threads: int | None = None,
        enable_warmup: bool = True,
    ) -> None:
        _check_free(host, port)
        loader = functools.partial(servable.load, enable_warmup=enable_warmup)
        self._servables = Servables(models, loader)
        try:
            self._servables.start(poll_wait_seconds)
            self._server = make_server(Service(self._servables), max_threads)
            self.port = self._listen(f"{host}:{port}", credentials)
            if socket_path is not None:
                self._listen(f"unix:{socket_path}", credentials)
        except BaseException:
            self._servables.close()
            raise
        self._server.start()

    def available(self) -> list[tuple[str, int]]:
        """Name and version of every model that is served."""
        return self._servables.available()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for `stop`, or for so many seconds; returns whether the server still runs."""
        return bool(self._server.wait_for_termination(timeout))

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Takes no more calls, lets those under way finish for `grace` seconds, frees the models.

        A second call does nothing.
        """
        self._server.stop(grace).wait()
        self._servables.close()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _listen(self, address: str, credentials: grpc.ServerCredentials | None) -> int:
        try:
            if credentials is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, credentials)
        except RuntimeError:
            port = 0
        if not port:
            raise errors.StartError(
                f"Expected an address that is free to listen on. Received: address={address}"
            )
        return int(port)


def _check_free(host: str, port: int) -> None:
    """Finds out before the models are loaded, and why; gRPC would only fail, and later."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise errors.StartError(
                "Expected an address that is free to listen on. "
                f"Received: address={host}:{port} ({reason})"
            ) from None
