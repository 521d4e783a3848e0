"""All settings of the server: `tensorflow_model_server`'s flags, with its names and defaults."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from keras_attention_serving.concurrency.processors import processors
from keras_attention_serving.errors import InvalidArgument
from keras_attention_serving.settings.flags import Flag

_KINDS = {"int": "int32", "float": "float", "bool": "bool", "str": "string"}
IGNORED = "Accepted and ignored: "


def _flag(default: Any, help: str, kind: str | None = None) -> Any:
    """A field of `Options`; the kind of its flag is that of the annotation by default."""
    return field(default=default, metadata={"help": help, "kind": kind})


@dataclass(frozen=True)
class Options:
    """Settings of the server. Each field is a flag of the same name.

    A help text that begins with "Accepted and ignored" gives the reason why the flag has no effect.
    """

    port: int = _flag(
        8500, "TCP port to listen on for the gRPC API. Disabled if set to zero (see --free_port)."
    )
    grpc_socket_path: str = _flag("", "If non-empty, also listen on this UNIX socket for gRPC.")
    rest_api_port: int = _flag(
        0, "Port to listen on for the HTTP/REST API, different from --port. Disabled if zero."
    )
    rest_api_num_threads: int = _flag(4 * processors(), "Threads for the HTTP/REST API.")
    rest_api_timeout_in_ms: int = _flag(30000, "Timeout of HTTP/REST API calls.")
    rest_api_enable_cors_support: bool = _flag(False, "Send CORS headers in responses.")
    enable_batching: bool = _flag(False, "Gather requests into batches.")
    allow_version_labels_for_unavailable_models: bool = _flag(
        False, "Allow labels that are not in use yet for versions that are not available yet."
    )
    batching_parameters_file: str = _flag(
        "", "Text file of BatchingParameters, instead of the defaults."
    )
    enable_per_model_batching_parameters: bool = _flag(
        False,
        "Read the batching parameters of each model from `batching_params.pbtxt` in its folder; "
        "only the threads are then taken from --batching_parameters_file.",
    )
    model_config_file: str = _flag(
        "",
        "Text file of ModelServerConfig: the models to serve. --model_name and --model_base_path "
        "are then ignored.",
    )
    model_config_file_poll_wait_seconds: int = _flag(
        0, "Seconds between looks at --model_config_file for changes. Zero: read it once."
    )
    model_name: str = _flag("default", "Name of the model in requests.")
    model_base_path: str = _flag("", "Absolute path of the folder of the version folders.")
    num_load_threads: int = _flag(
        0, "How many versions may be loaded at a time once the server runs. Zero: one."
    )
    num_unload_threads: int = _flag(0, "How many versions may be unloaded at a time. Zero: one.")
    max_num_load_retries: int = _flag(
        5, "How often to try again to load a version that failed, before giving up."
    )
    load_retry_interval_micros: int = _flag(
        60_000_000, "Microseconds between two attempts to load a version. Negative: none.", "int64"
    )
    file_system_poll_wait_seconds: int = _flag(
        1,
        "Seconds between looks for new versions. Zero: look once. Negative: never look, so that "
        "the server waits for its models forever.",
    )
    flush_filesystem_caches: bool = _flag(True, IGNORED + "the system frees its caches itself.")
    tensorflow_session_parallelism: int = _flag(
        0,
        "Threads of a TensorFlow session, within and between operations. Zero: automatic.",
        "int64",
    )
    tensorflow_session_config_file: str = _flag(
        "", "Text file of a ConfigProto for TensorFlow sessions; other flags override parts of it."
    )
    tensorflow_intra_op_parallelism: int = _flag(
        0, "Threads for one operation. Zero: automatic.", "int64"
    )
    tensorflow_inter_op_parallelism: int = _flag(
        0, "Operations that may run at a time. Zero: automatic.", "int64"
    )
    use_alts_credentials: bool = _flag(False, "Use Google's ALTS credentials.")
    ssl_config_file: str = _flag("", "Text file of SSLConfig: gRPC over TLS.")
    platform_config_file: str = _flag(
        "", IGNORED + "every model is a SavedModel, run with the settings of the other flags."
    )
    per_process_gpu_memory_fraction: float = _flag(
        0.0, "Part of the GPU's memory to take at the start, up to 1. Zero: automatic."
    )
    saved_model_tags: str = _flag(
        "serve", "Comma-separated tags of the graph to load from a SavedModel."
    )
    grpc_channel_arguments: str = _flag(
        "", "Comma-separated arguments of the gRPC server, e.g. grpc.max_connection_age_ms=2000."
    )
    grpc_max_threads: int = _flag(4 * processors(), "gRPC calls that may run at a time.")
    enable_model_warmup: bool = _flag(
        True, "Answer the warm-up requests beside a model before it is available."
    )
    num_request_iterations_for_warmup: int = _flag(
        0, "How often to answer each warm-up request. Used if positive."
    )
    version: bool = _flag(False, "Print versions and exit.")
    monitoring_config_file: str = _flag("", "Text file of MonitoringConfig.")
    remove_unused_fields_from_bundle_metagraph: bool = _flag(
        True, IGNORED + "nothing but the signatures is kept of a MetaGraphDef."
    )
    prefer_tflite_model: bool = _flag(
        False, "Load `model.tflite` of a version folder, where there is one."
    )
    num_tflite_pools: int = _flag(
        processors(),
        "TFLite interpreter pools per model; interpreters = pools x "
        "num_tflite_interpreters_per_pool.",
    )
    num_tflite_interpreters_per_pool: int = _flag(1, "TFLite interpreters of a pool.")
    enable_signature_method_name_check: bool = _flag(
        False, "Refuse Classify and Regress for signatures made for another method."
    )
    xla_cpu_compilation_enabled: bool = _flag(False, "Allow models to be compiled by XLA for CPU.")
    xla_gpu_compilation_enabled: bool = _flag(False, "Allow models to be compiled by XLA for GPU.")
    enable_profiler: bool = _flag(
        False,
        "Offer the profiler service; anybody can reach its port, so that it is refused where "
        "credentials, a host or a socket restrict the server.",
    )
    thread_pool_factory_config_file: str = _flag("", IGNORED + "there is one kind of thread pool.")
    mixed_precision: str = _flag("", "`bfloat16` for automatic mixed precision.")
    skip_initialize_tpu: bool = _flag(False, IGNORED + "no TPU is used.")
    enable_grpc_healthcheck_service: bool = _flag(False, "Offer the gRPC health service.")
    enable_serialization_as_tensor_content: bool = _flag(
        False, "Answer with numbers in `tensor_content` instead of typed fields."
    )
    max_claimed_input_bytes: int = _flag(
        64 << 20,
        "Not in TensorFlow Serving: bytes that inputs may claim by their shapes without being "
        "sent. More are refused.",
        "int64",
    )
    max_run_time_in_ms: int = _flag(
        0, "Not in TensorFlow Serving: the longest that a run of a model may take. Zero: no limit."
    )
    rest_api_max_unzipped_values: int = _flag(
        1 << 20,
        "Not in TensorFlow Serving: JSON values that a compressed body may hold, or as many as it "
        "has bytes. More are refused.",
    )
    grpc_max_calls: int = _flag(
        1024,
        "Not in TensorFlow Serving: gRPC calls that may be under way, on one connection a quarter "
        "of them or, without batching, four for each thread. More are refused.",
    )
    stop_grace_seconds: int = _flag(
        30, "Not in TensorFlow Serving: how long calls under way may take after SIGTERM."
    )
    rest_api_ssl_config_file: str = _flag(
        "", "Not in TensorFlow Serving: text file of SSLConfig for the HTTP/REST API over TLS."
    )
    health_follows_models: bool = _flag(
        False,
        "Not in TensorFlow Serving: offer the gRPC health service and GET /healthz, which say that "
        "the server is not serving while a configured model has no available version, or while "
        "the server stops.",
    )
    log_level: str = _flag(
        "info", "Not in TensorFlow Serving: least that is logged: debug, info, warning or error."
    )
    log_format: str = _flag("text", "Not in TensorFlow Serving: lines of the log: text or json.")
    access_log: bool = _flag(False, "Not in TensorFlow Serving: log a line for every request.")
    write_protos: str = _flag(
        "",
        "Not in TensorFlow Serving: write the .proto files of all APIs into this folder, "
        "for clients in other languages, and exit.",
    )
    free_port: bool = _flag(
        False, "Not in TensorFlow Serving: instead of --port, listen on a port that is free."
    )

    def check(self) -> None:
        """Raises `errors.InvalidArgument` if settings contradict each other."""
        if not (self.port or self.free_port or self.grpc_socket_path):
            raise InvalidArgument(
                "At least one of server_options.grpc_port or server_options.grpc_socket_path must "
                "be set."
            )
        if self.grpc_max_calls < 1:
            raise InvalidArgument(
                f"Expected grpc_max_calls of 1 or more. Received: {self.grpc_max_calls}"
            )
        if self.max_run_time_in_ms < 0 or self.stop_grace_seconds < 0:
            raise InvalidArgument(
                "Expected max_run_time_in_ms and stop_grace_seconds of 0 or more. Received: "
                f"{self.max_run_time_in_ms}, {self.stop_grace_seconds}"
            )
        if self.use_alts_credentials and self.ssl_config_file:
            raise InvalidArgument(
                "Either use_alts_credentials must be false or ssl_config_file must be empty."
            )
        if self.rest_api_ssl_config_file and not self.rest_api_port:
            raise InvalidArgument(
                "server_options.rest_api_ssl_config_file is set without setting "
                "server_options.rest_api_port."
            )
        if not (self.model_base_path or self.model_config_file):
            raise InvalidArgument(
                "Both server_options.model_base_path and server_options.model_config_file are "
                "empty!"
            )
        if self.batching_parameters_file and not self.enable_batching:
            raise InvalidArgument(
                "server_options.batching_parameters_file is set without setting "
                "server_options.enable_batching to true."
            )
        if (
            self.tensorflow_session_parallelism > 0
            and self.tensorflow_intra_op_parallelism > 0
            and self.tensorflow_inter_op_parallelism > 0
        ):
            raise InvalidArgument(
                "Either configure server_options.tensorflow_session_parallelism or "
                "(server_options.tensorflow_intra_op_parallelism, "
                "server_options.tensorflow_inter_op_parallelism) separately. "
                "You cannot configure all."
            )


FLAGS: Sequence[Flag] = tuple(
    Flag(f.name, f.metadata["kind"] or _KINDS[f.type.__name__], f.default, f.metadata["help"])  # type: ignore[union-attr]
    for f in fields(Options)
)


DEFAULTS = Options()


def ignored(options: Options) -> list[str]:
    """Names of the flags that were changed and have no effect."""
    return [
        flag.name
        for flag in FLAGS
        if flag.help.startswith(IGNORED) and getattr(options, flag.name) != flag.default
    ]


def why_ignored(name: str) -> str:
    """The reason why a flag has no effect, as a sentence."""
    (reason,) = (flag.help.removeprefix(IGNORED) for flag in FLAGS if flag.name == name)
    return reason[0].upper() + reason[1:]
