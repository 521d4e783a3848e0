"""Command lines, as `tensorflow_model_server` reads them."""

import subprocess
import sys

import pytest

from keras_attention_serving.concurrency import processors
from keras_attention_serving.errors import InvalidArgument
from keras_attention_serving.settings import flags
from keras_attention_serving.settings.options import FLAGS, Options, ignored


def parse(*arguments):
    return flags.parse(arguments, FLAGS)


@pytest.mark.parametrize(
    ("argument", "name", "value"),
    [
        ("--port=8501", "port", 8501),
        ("--port= +5", "port", 5),
        ("--file_system_poll_wait_seconds=-1", "file_system_poll_wait_seconds", -1),
        ("--load_retry_interval_micros=3000000000", "load_retry_interval_micros", 3_000_000_000),
        ("--per_process_gpu_memory_fraction=0.25", "per_process_gpu_memory_fraction", 0.25),
        ("--per_process_gpu_memory_fraction=.5", "per_process_gpu_memory_fraction", 0.5),
        ("--enable_batching", "enable_batching", True),
        ("--enable_batching=true", "enable_batching", True),
        ("--enable_model_warmup=false", "enable_model_warmup", False),
        ("--model_name=", "model_name", ""),
        ("--grpc_channel_arguments=a=1,b=c", "grpc_channel_arguments", "a=1,b=c"),
    ],
)
def test_values(argument, name, value):
    parsed = parse(argument)
    assert parsed.values == {name: value}
    assert type(parsed.values[name]) is type(value)
    assert (parsed.unknown, parsed.errors) == ([], [])


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("--port=x", "Couldn't interpret value x for flag port."),
        ("--port=", "Couldn't interpret value  for flag port."),
        ("--port=8500 ", "Couldn't interpret value 8500  for flag port."),
        ("--port=1.5", "Couldn't interpret value 1.5 for flag port."),
        ("--port=2147483648", "Couldn't interpret value 2147483648 for flag port."),
        ("--enable_batching=1", "Couldn't interpret value 1 for flag enable_batching."),
        ("--enable_batching=True", "Couldn't interpret value True for flag enable_batching."),
        (
            "--per_process_gpu_memory_fraction=half",
            "Couldn't interpret value half for flag per_process_gpu_memory_fraction.",
        ),
    ],
)
def test_values_that_are_none(argument, complaint):
    assert parse(argument).errors == [complaint]


def test_what_is_no_flag():
    arguments = ["--nothing=1", "-port=5", "--port", "8501", "port=7", "--noenable_batching"]
    assert parse(*arguments).unknown == arguments
    assert parse("--port=5", "--", "--port=7").values == {"port": 5}
    assert parse("--", "--port=7").unknown == ["--", "--port=7"]


def test_the_last_one_counts():
    assert parse("--port=5", "--port=7").values == {"port": 7}


def test_defaults():
    cpus = processors.processors()
    expected = {
        "port": 8500,
        "grpc_socket_path": "",
        "rest_api_port": 0,
        "rest_api_num_threads": 4 * cpus,
        "rest_api_timeout_in_ms": 30000,
        "rest_api_enable_cors_support": False,
        "enable_batching": False,
        "batching_parameters_file": "",
        "enable_per_model_batching_parameters": False,
        "allow_version_labels_for_unavailable_models": False,
        "model_config_file": "",
        "model_config_file_poll_wait_seconds": 0,
        "model_name": "default",
        "model_base_path": "",
        "num_load_threads": 0,
        "num_unload_threads": 0,
        "max_num_load_retries": 5,
        "load_retry_interval_micros": 60_000_000,
        "file_system_poll_wait_seconds": 1,
        "flush_filesystem_caches": True,
        "tensorflow_session_parallelism": 0,
        "tensorflow_session_config_file": "",
        "tensorflow_intra_op_parallelism": 0,
        "tensorflow_inter_op_parallelism": 0,
        "use_alts_credentials": False,
        "ssl_config_file": "",
        "platform_config_file": "",
        "per_process_gpu_memory_fraction": 0.0,
        "saved_model_tags": "serve",
        "grpc_channel_arguments": "",
        "grpc_max_threads": 4 * cpus,
        "enable_model_warmup": True,
        "num_request_iterations_for_warmup": 0,
        "version": False,
        "monitoring_config_file": "",
        "remove_unused_fields_from_bundle_metagraph": True,
        "prefer_tflite_model": False,
        "num_tflite_pools": cpus,
        "num_tflite_interpreters_per_pool": 1,
        "enable_signature_method_name_check": False,
        "xla_cpu_compilation_enabled": False,
        "xla_gpu_compilation_enabled": False,
        "enable_profiler": False,
        "thread_pool_factory_config_file": "",
        "mixed_precision": "",
        "skip_initialize_tpu": False,
        "enable_grpc_healthcheck_service": False,
        "enable_serialization_as_tensor_content": False,
        "free_port": False,  # ours, as what follows
        "max_claimed_input_bytes": 67_108_864,
        "max_run_time_in_ms": 0,
        "rest_api_max_unzipped_values": 1_048_576,
        "grpc_max_calls": 1024,
        "stop_grace_seconds": 30,
        "rest_api_ssl_config_file": "",
        "health_follows_models": False,
        "log_level": "info",
        "log_format": "text",
        "access_log": False,
        "write_protos": "",
    }
    assert {flag.name: flag.default for flag in FLAGS} == expected


def test_usage_names_every_flag_with_its_default():
    text = flags.usage("command", FLAGS)
    lines = text.splitlines()
    assert lines[:2] == ["usage: command", "Flags:"]
    assert len(lines) == 2 + len(FLAGS)
    assert text.endswith("\n")
    assert lines[2].startswith("\t--port=8500                      \tint32\tTCP port to listen on")
    assert '\t--model_name="default"           \tstring\tName of the model in requests.' in lines
    assert "\t--enable_batching=false          \tbool\tGather requests into batches." in lines
    assert "--per_process_gpu_memory_fraction=0.000000\tfloat\t" in text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"port": 0, "model_base_path": "/m"},
            "At least one of server_options.grpc_port or server_options.grpc_socket_path must be "
            "set.",
        ),
        (
            {"model_base_path": "/m", "use_alts_credentials": True, "ssl_config_file": "f"},
            "Either use_alts_credentials must be false or ssl_config_file must be empty.",
        ),
        (
            {},
            "Both server_options.model_base_path and server_options.model_config_file are empty!",
        ),
        (
            {"model_base_path": "/m", "batching_parameters_file": "f"},
            "server_options.batching_parameters_file is set without setting "
            "server_options.enable_batching to true.",
        ),
        (
            {
                "model_base_path": "/m",
                "tensorflow_session_parallelism": 2,
                "tensorflow_intra_op_parallelism": 3,
                "tensorflow_inter_op_parallelism": 5,
            },
            "Either configure server_options.tensorflow_session_parallelism or "
            "(server_options.tensorflow_intra_op_parallelism, "
            "server_options.tensorflow_inter_op_parallelism) separately. "
            "You cannot configure all.",
        ),
    ],
)
def test_contradictions(values, text):
    with pytest.raises(InvalidArgument) as caught:
        Options(**values).check()
    assert caught.value.message == text


def test_settings_that_do_not_contradict():
    Options(model_base_path="/m").check()
    Options(model_config_file="f", port=0, grpc_socket_path="s").check()
    Options(model_base_path="/m", port=0, free_port=True).check()


def test_flags_without_a_meaning_here():
    assert ignored(Options()) == []
    changed = Options(
        flush_filesystem_caches=False,
        platform_config_file="f",
        remove_unused_fields_from_bundle_metagraph=False,
        thread_pool_factory_config_file="f",
        skip_initialize_tpu=True,
        enable_batching=True,
    )
    assert ignored(changed) == [
        "flush_filesystem_caches",
        "platform_config_file",
        "remove_unused_fields_from_bundle_metagraph",
        "thread_pool_factory_config_file",
        "skip_initialize_tpu",
    ]


@pytest.mark.parametrize(
    ("share", "number"),
    [
        ("max 100000", 7),
        ("200000 100000", 2),
        ("250000 100000", 3),
        ("5000 100000", 1),
        ("1100000 100000", 7),
        ("nonsense", 7),
        (None, 7),
    ],
)
def test_processors(tmp_path, monkeypatch, share, number):
    if share is not None:
        (tmp_path / "cpu.max").write_text(share + "\n")
    monkeypatch.setattr(processors, "_SHARE", tmp_path / "cpu.max")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(7)), raising=False)
    assert processors.processors() == number


def test_every_default_keeps_to_the_processors():
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from keras_attention_serving.batching import parameters;"
        "from keras_attention_serving.settings import options;"
        "print(parameters.Parameters().num_batch_threads,"
        "options.DEFAULTS.grpc_max_threads)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["1", "4"]
