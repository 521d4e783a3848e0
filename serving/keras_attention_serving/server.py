"""A server of SavedModels that speaks TensorFlow Serving's API, for one process."""

import dataclasses
import logging
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any

import grpc

from keras_attention_serving import errors, factory
from keras_attention_serving.grpc import profiler
from keras_attention_serving.grpc.server import GrpcServer
from keras_attention_serving.monitoring.metrics import Metrics
from keras_attention_serving.monitoring.prometheus import PrometheusMetrics
from keras_attention_serving.monitoring.request_log import RequestLog
from keras_attention_serving.protocol import text_proto, wire
from keras_attention_serving.rest.server import RestServer
from keras_attention_serving.service import Service
from keras_attention_serving.settings import options
from keras_attention_serving.settings.options import DEFAULTS, Options
from keras_attention_serving.versions import model_config
from keras_attention_serving.versions.config_file import ConfigFile

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _Ports:
    """Addresses to listen on; a port of None is disabled, 0 is any free one."""

    grpc_port: int | None
    rest_port: int | None = None
    host: str = "0.0.0.0"
    rest_host: str = "::"
    credentials: grpc.ServerCredentials | None = None

    @property
    def restricted(self) -> bool:
        """True if some who reach the machine cannot use the server."""
        return self.credentials is not None or self.host not in ("0.0.0.0", "::", "[::]")


class Server:
    """Server of models; it runs from its construction until `stop`.

        with Server({"date_normalizer": "saved_models/date_normalizer"}, port=0) as server:
            client = Client(f"localhost:{server.port}")

    The newest version of each model is served; a newer one that appears in the folder replaces it
    without a gap. The ports open when all models are loaded.

    Args:
        models: base paths, the folders of the version folders, by name of the model.
        port: TCP port for gRPC; 0 picks a free one.
        rest_port: TCP port for REST; 0 picks a free one. None by default.
        host: address to listen on.
        credentials: `grpc.ssl_server_credentials(...)` for TLS of gRPC; no encryption by default.
        socket_path: also listen on this UNIX socket for gRPC.
        poll_wait_seconds: time between polls for new versions; 0: poll once.
        max_threads: number of calls that may run at a time; 4 per processor by default.
        enable_warmup: run the warm-up requests of a model before it is available.
        settings: everything else, as the flags of the command. Those that have an argument above
            are ignored.

    Attributes:
        port: the TCP port of gRPC; 0 if there is none.
        rest_port: the TCP port of REST; 0 if there is none.

    Raises:
        errors.StartError (an OSError): a folder is missing or without a version, no version of a
            model can be loaded, a setting is wrong, or a port is taken.
    """

    def __init__(
        self,
        models: Mapping[str, str | PathLike[str]],
        *,
        port: int = 8500,
        rest_port: int | None = None,
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
            model = model_config.single(name, str(Path(path).absolute()))
            config.model_config_list.MergeFrom(model.model_config_list)
        settings = dataclasses.replace(
            settings,
            enable_model_warmup=enable_warmup,
            grpc_max_threads=max_threads or settings.grpc_max_threads,
            grpc_socket_path=str(socket_path or ""),
        )
        ports = _Ports(port, rest_port, host, host, credentials)
        if rest_port is not None:
            _check_free(host, rest_port)
        try:
            self._start(config, settings, ports, poll_wait_seconds, patient=False)
        except errors.ServingError as error:
            raise errors.StartError(error.message) from None

    @classmethod
    def from_options(cls, settings: Options) -> "Server":
        """Starts a server as `tensorflow_model_server` does with these flags.

        Waits without limit for models that do not exist yet. If the REST port is taken, that is
        logged, and the server runs without REST.

        Raises:
            errors.StartError: the gRPC port is taken.
            errors.ServingError: a setting is wrong, or a model cannot be loaded.
        """
        settings.check()
        for name in options.ignored(settings):
            reason = options.why_ignored(name)
            logger.warning("--%s is ignored: it has no meaning here. (%s)", name, reason)
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
        ports = _Ports(
            0 if settings.free_port else settings.port or None,
            _rest_port(settings),
            credentials=factory.make_credentials(settings),
        )
        server = cls.__new__(cls)
        wait = settings.file_system_poll_wait_seconds
        server._start(config, settings, ports, wait, patient=True)
        if path and settings.model_config_file_poll_wait_seconds > 0:
            server._config_file = ConfigFile(
                path, server._manager, settings.model_config_file_poll_wait_seconds
            )
        return server

    def _start(
        self, config: Any, settings: Options, ports: _Ports, poll_wait_seconds: float, patient: bool
    ) -> None:
        if settings.enable_profiler:
            tls = settings.rest_api_ssl_config_file
            profiler.check(bool(ports.restricted or settings.grpc_socket_path or tls))
        if ports.grpc_port is not None:
            _check_free(ports.host, ports.grpc_port)
        # Recorded even without a page: a reload of the configuration may ask for them, too.
        metrics = PrometheusMetrics()
        metrics_path = factory.metrics_path(settings)
        rest_tls = factory.make_rest_tls(settings)
        self._log = RequestLog(settings.access_log)
        self._grace = float(settings.stop_grace_seconds)
        self._config_file: ConfigFile | None = None
        transport: GrpcServer | None = None
        self._rest: RestServer | None = None
        batching = factory.make_batching(settings, metrics)
        self._manager = factory.make_model_manager(settings, poll_wait_seconds, batching, metrics)
        try:
            arguments = factory.channel_arguments(settings)
            factory.report_devices(settings)
            self._manager.start(config, patient)
            service = Service(
                self._manager,
                metrics=metrics,
                batching=batching,
                check_method_names=settings.enable_signature_method_name_check,
                tensor_content=settings.enable_serialization_as_tensor_content,
                max_claimed_bytes=settings.max_claimed_input_bytes,
            )
            self._grpc = transport = GrpcServer(
                service,
                settings.grpc_max_threads,
                max_calls=settings.grpc_max_calls,
                max_calls_per_connection=factory.max_calls_per_connection(settings),
                metrics=metrics,
                log=self._log,
                health=settings.enable_grpc_healthcheck_service,
                health_follows_models=settings.health_follows_models,
                profiler=settings.enable_profiler,
                channel_arguments=arguments,
            )
            self.port = self._listen_grpc(settings, ports)
            if ports.rest_port is not None:
                self._rest = self._make_rest(
                    service, settings, ports, metrics, metrics_path, rest_tls, patient
                )
            self.rest_port = self._rest.port if self._rest is not None else 0
        except BaseException:
            if transport is not None:
                transport.stop()  # frees its ports
            self._manager.close()
            raise
        self._grpc.start()
        if self._rest is not None:
            self._rest.start()
        self._log_addresses(settings, ports)

    def _listen_grpc(self, settings: Options, ports: _Ports) -> int:
        port = 0
        if ports.grpc_port is not None:
            port = self._listen(f"{ports.host}:{ports.grpc_port}", ports.credentials)
        if settings.grpc_socket_path:
            self._listen(f"unix:{settings.grpc_socket_path}", ports.credentials)
        return port

    def _make_rest(
        self,
        service: Service,
        settings: Options,
        ports: _Ports,
        metrics: Metrics,
        metrics_path: str | None,
        tls: ssl.SSLContext | None,
        optional: bool,
    ) -> RestServer | None:
        try:
            return RestServer(
                service,
                port=ports.rest_port or 0,
                host=ports.rest_host,
                num_threads=settings.rest_api_num_threads,
                timeout_seconds=settings.rest_api_timeout_in_ms / 1000,
                max_unzipped_values=settings.rest_api_max_unzipped_values,
                cors=settings.rest_api_enable_cors_support,
                metrics_path=metrics_path,
                metrics=metrics,
                log=self._log,
                health=settings.health_follows_models,
                tls=tls,
            )
        except errors.StartError as error:
            if not optional:
                raise
            logger.error("Failed to start HTTP Server at localhost:%d: %s", ports.rest_port, error)
            return None

    def _log_addresses(self, settings: Options, ports: _Ports) -> None:
        if self.port:
            logger.info("Running gRPC ModelServer at %s:%d ...", ports.host, self.port)
        if settings.grpc_socket_path:
            path = settings.grpc_socket_path
            logger.info("Running gRPC ModelServer at UNIX socket %s ...", path)
        if self._rest is not None:
            logger.info("Exporting HTTP/REST API at:%s ...", self._rest.address)

    def available(self) -> list[tuple[str, int]]:
        """Name and number of every available version."""
        return self._manager.available()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for `stop`, or for so many seconds; returns whether the server still runs."""
        return self._grpc.wait(timeout)

    def stop(self, grace: float | None = None) -> None:
        """Accepts no more calls, lets those under way finish for `grace` seconds, frees the models.

        The default is `stop_grace_seconds` of the settings. A second call does nothing.
        """
        grace = self._grace if grace is None else grace
        if self._config_file is not None:
            self._config_file.stop()
        if self._grpc.wait(0):
            self._manager.drain()
        with ThreadPoolExecutor(2) as pool:  # both at once, so that the grace is not doubled
            for transport in (self._grpc, self._rest):
                if transport is not None:
                    pool.submit(transport.stop, grace)
        self._log.close()
        self._manager.close()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _listen(self, address: str, credentials: grpc.ServerCredentials | None) -> int:
        try:
            port = self._grpc.listen(address, credentials)
        except RuntimeError:
            port = 0
        if not port:
            expected = "an address that is free to listen on"
            if credentials is not None:
                expected += " and credentials that gRPC can use"
            raise errors.StartError(f"Expected {expected}. Received: address={address}")
        return int(port)


def _rest_port(settings: Options) -> int | None:
    port = settings.rest_api_port
    if port and port == settings.port and not settings.free_port:
        logger.error(
            "server_options.http_port cannot be same as grpc_port. Please use a different port "
            "for HTTP/REST API. Skipped exporting HTTP/REST API."
        )
        return None
    return port or None


def _check_free(host: str, port: int) -> None:
    """Raises `errors.StartError` if an address is taken; gRPC would fail later, and not say why."""
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
