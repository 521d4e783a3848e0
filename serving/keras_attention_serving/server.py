"""A server of SavedModels that speaks TensorFlow Serving's API, for one process."""

import dataclasses
import logging
import socket
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import grpc

from keras_attention_serving import (
    errors,
    model_config,
    options,
    session_config,
    text_proto,
    tls_config,
    wire,
)
from keras_attention_serving.config_file import ConfigFile
from keras_attention_serving.grpc_server import make_server
from keras_attention_serving.loading import SavedModelLoader
from keras_attention_serving.options import DEFAULTS, Options
from keras_attention_serving.servable import Retries
from keras_attention_serving.servables import Servables
from keras_attention_serving.service import Service

logger = logging.getLogger(__name__)

GRACE_SECONDS = 30.0


class Server:
    """Serves models from the moment it is made, until `stop`.

        with Server({"date_normalizer": "saved_models/date_normalizer"}, port=0) as server:
            client = Client(f"localhost:{server.port}")

    The newest version of each model is served; a newer one that appears in the folder replaces it
    without a gap. The ports open when all models are loaded.

    Args:
        models: base path, the folder of the version folders, by name of the model.
        port: TCP port for gRPC; 0 picks a free one.
        host: address to listen on.
        credentials: `grpc.ssl_server_credentials(...)` for TLS; no encryption by default.
        socket_path: also listen on this UNIX socket.
        poll_wait_seconds: how often to look for new versions; 0: look once.
        max_threads: how many calls may run at a time; 4 per processor by default.
        enable_warmup: answer the warm-up requests beside a model before it is available.
        settings: everything else, as the flags of the command. Those that an argument above stands
            for are not looked at.

    Attributes:
        port: the TCP port of gRPC; 0 if there is none.

    Raises:
        errors.StartError (an OSError): a folder is missing or without a version, no version of a
            model can be loaded, a setting is wrong, or the port is taken.
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
        settings: Options = DEFAULTS,
    ) -> None:
        config = wire.ModelServerConfig()
        config.model_config_list.SetInParent()
        for name, path in models.items():
            one = model_config.single(name, str(Path(path).absolute()))
            config.model_config_list.MergeFrom(one.model_config_list)
        try:
            self._start(
                config,
                dataclasses.replace(
                    settings,
                    enable_model_warmup=enable_warmup,
                    grpc_max_threads=max_threads or settings.grpc_max_threads,
                    grpc_socket_path=str(socket_path or ""),
                ),
                f"{host}:{port}",
                credentials,
                poll_wait_seconds=poll_wait_seconds,
                patient=False,
            )
        except errors.ServingError as error:
            raise errors.StartError(error.message) from None

    @classmethod
    def from_options(cls, settings: Options) -> "Server":
        """A server as `tensorflow_model_server` starts it with these flags.

        Waits for models that are not there yet, for as long as it takes.

        Raises:
            errors.StartError: a port is taken.
            errors.ServingError: a setting is wrong, or a model cannot be loaded.
        """
        settings.check()
        for name in options.ignored(settings):
            logger.warning("--%s is ignored: it has no meaning here.", name)
        path = settings.model_config_file
        if path:
            config = text_proto.read(path, wire.ModelServerConfig)
        else:
            logger.info(
                "Building single TensorFlow model file config:  model_name: %s model_base_path: %s",
                settings.model_name,
                settings.model_base_path,
            )
            config = model_config.single(settings.model_name, settings.model_base_path)
        address = None
        if settings.free_port or settings.port:
            address = f"0.0.0.0:{0 if settings.free_port else settings.port}"
        server = cls.__new__(cls)
        server._start(
            config,
            settings,
            address,
            _credentials(settings),
            poll_wait_seconds=settings.file_system_poll_wait_seconds,
            patient=True,
        )
        if path and settings.model_config_file_poll_wait_seconds > 0:
            server._config_file = ConfigFile(
                path, server._servables, settings.model_config_file_poll_wait_seconds
            )
        return server

    def _start(
        self,
        config: Any,
        settings: Options,
        address: str | None,
        credentials: grpc.ServerCredentials | None,
        *,
        poll_wait_seconds: float,
        patient: bool,
    ) -> None:
        if address is not None:
            _check_free(address)
        self._config_file: ConfigFile | None = None
        self._servables = Servables(
            SavedModelLoader(
                tags=settings.saved_model_tags.split(","),
                config=session_config.session_config(settings),
                enable_warmup=settings.enable_model_warmup,
                warmup_iterations=settings.num_request_iterations_for_warmup,
            ),
            load_threads=settings.num_load_threads,
            unload_threads=settings.num_unload_threads,
            retries=Retries(
                settings.max_num_load_retries, max(0, settings.load_retry_interval_micros) / 1e6
            ),
            poll_wait_seconds=poll_wait_seconds,
            allow_labels_for_unavailable=settings.allow_version_labels_for_unavailable_models,
        )
        try:
            self._servables.start(config, patient)
            self._server = make_server(Service(self._servables), settings.grpc_max_threads)
            self.port = self._listen(address, credentials) if address is not None else 0
            if settings.grpc_socket_path:
                self._listen(f"unix:{settings.grpc_socket_path}", credentials)
        except BaseException:
            self._servables.close()
            raise
        self._server.start()
        if address is not None:
            host = address.rpartition(":")[0]
            logger.info("Running gRPC ModelServer at %s:%d ...", host, self.port)
        if settings.grpc_socket_path:
            logger.info("Running gRPC ModelServer at UNIX socket %s ...", settings.grpc_socket_path)

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
        if self._config_file is not None:
            self._config_file.stop()
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


def _credentials(settings: Options) -> grpc.ServerCredentials | None:
    if settings.use_alts_credentials:
        return grpc.alts_server_credentials()
    if settings.ssl_config_file:
        return tls_config.credentials(settings.ssl_config_file)
    return None


def _check_free(address: str) -> None:
    """Finds out before the models are loaded, and why; gRPC would only fail, and later."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise errors.StartError(
                "Expected an address that is free to listen on. "
                f"Received: address={address} ({reason})"
            ) from None
