"""Factory of the parts of a server from its settings."""

import ssl
from collections.abc import Sequence

import grpc

from keras_attention_serving import errors
from keras_attention_serving.batching.batchers import Batching
from keras_attention_serving.batching.parameters import Parameters, read_parameters
from keras_attention_serving.monitoring.metrics import Metrics
from keras_attention_serving.runtime import devices
from keras_attention_serving.settings import monitoring_config, session_config, tls_config
from keras_attention_serving.settings.options import Options
from keras_attention_serving.versions.loading import SavedModelLoader
from keras_attention_serving.versions.model_manager import ModelManager
from keras_attention_serving.versions.model_versions import Retries


def make_batching(settings: Options, metrics: Metrics) -> Batching | None:
    """The batchers, or None without batching; raises `errors.ServingError` for a wrong file."""
    if not settings.enable_batching:
        return None
    parameters = Parameters(thread_pool_name="model_server_batch_threads")
    if settings.batching_parameters_file:
        parameters = read_parameters(settings.batching_parameters_file)
    return Batching(parameters, settings.enable_per_model_batching_parameters, metrics)


def make_model_manager(
    settings: Options, poll_wait_seconds: float, batching: Batching | None, metrics: Metrics
) -> ModelManager:
    """The manager, before any model is loaded; raises `errors.ServingError` for a wrong file."""
    loader = SavedModelLoader(
        tags=settings.saved_model_tags.split(","),
        config=session_config.session_config(settings),
        max_run_seconds=settings.max_run_time_in_ms / 1000 or None,
        enable_warmup=settings.enable_model_warmup,
        warmup_iterations=settings.num_request_iterations_for_warmup,
        prepare=batching.prepare if batching is not None else None,
        prefer_tflite=settings.prefer_tflite_model,
        tflite_interpreters=settings.num_tflite_pools * settings.num_tflite_interpreters_per_pool,
        metrics=metrics,
    )
    manager = ModelManager(
        loader,
        load_threads=settings.num_load_threads,
        unload_threads=settings.num_unload_threads,
        retries=Retries(
            settings.max_num_load_retries, max(0, settings.load_retry_interval_micros) / 1e6
        ),
        poll_wait_seconds=poll_wait_seconds,
        allow_labels_for_unavailable=settings.allow_version_labels_for_unavailable_models,
    )
    metrics.watch_models(manager.loaded)
    return manager


def report_devices(settings: Options) -> None:
    """Logs the devices of the models; raises `errors.ServingError` for a wrong file."""
    devices.report(session_config.session_config(settings))


def metrics_path(settings: Options) -> str | None:
    """The path of the metrics on the REST port, or None; raises `errors.ServingError`."""
    if not settings.monitoring_config_file:
        return None
    return monitoring_config.metrics_path(settings.monitoring_config_file)


def make_credentials(settings: Options) -> grpc.ServerCredentials | None:
    """Credentials of the gRPC port; raises `errors.ServingError` for a wrong file."""
    if settings.use_alts_credentials:
        return grpc.alts_server_credentials()
    if settings.ssl_config_file:
        return tls_config.credentials(settings.ssl_config_file)
    return None


def make_rest_tls(settings: Options) -> ssl.SSLContext | None:
    """TLS settings of the REST port; raises `errors.ServingError` for a wrong file."""
    if not settings.rest_api_ssl_config_file:
        return None
    return tls_config.context(settings.rest_api_ssl_config_file)


def max_calls_per_connection(settings: Options) -> int:
    """The number of gRPC calls at a time that one connection may have.

    A quarter of all, which fills batches. Without batching, four for each thread keep the threads
    busy; more would only make the calls of other connections wait.
    """
    quarter = max(1, settings.grpc_max_calls // 4)
    if settings.enable_batching:
        return quarter
    return min(quarter, max(32, 4 * settings.grpc_max_threads))


def channel_arguments(settings: Options) -> Sequence[tuple[str, int | str]]:
    """Parses `--grpc_channel_arguments`; values that are numbers become int."""
    result: list[tuple[str, int | str]] = []
    for argument in filter(None, settings.grpc_channel_arguments.split(",")):
        key, equals, text = argument.partition("=")
        if not equals:
            raise errors.InvalidArgument(
                f"Expected key=value in grpc_channel_arguments. Received: {argument}"
            )
        try:
            result.append((key, int(text)))
        except ValueError:
            result.append((key, text))
    return result
