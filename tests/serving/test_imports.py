"""Who may import whom: the data plane knows no transport, and nothing here knows the library."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "serving" / "keras_attention_serving"
OURS = "keras_attention_serving"

# Each module, and all that it imports of ours; what may be imported stands above.
ARROWS = {
    "wire": set(),
    "errors": set(),
    "flags": set(),
    "options": {"errors", "flags"},
    "text_proto": {"errors", "wire"},
    "metrics": set(),
    "prometheus": {"metrics", "wire"},
    "request_log": {"errors"},
    "log_format": {"errors"},
    "proto_files": set(),
    "monitoring_config": {"text_proto", "wire"},
    "python_values": set(),
    "tensors": {"python_values", "wire"},
    "claims": {"errors", "tensors"},
    "tfrecord": {"errors"},
    "optional_inputs": {"tensors"},
    "calls": {"errors", "optional_inputs", "tensors", "wire"},
    "channel": {"errors", "wire"},
    "client": {"calls", "channel", "errors", "tensors", "wire"},
    "async_client": {"calls", "channel", "errors", "tensors", "wire"},
    "c_api": {"errors"},
    "devices": {"c_api", "errors"},
    "quick_runs": {"tensors"},
    "trial_runs": {"tensors", "wire"},
    "runtime": {"c_api", "errors", "quick_runs", "tensors", "trial_runs", "wire"},
    "parallelism": {"errors", "flags", "runtime", "trial_runs", "wire"},
    "cancellation": set(),
    "model": {"errors", "tensors", "wire"},
    "examples": {"errors", "tensors"},
    "batching_parameters": {"errors", "flags", "text_proto", "wire"},
    "batch_tensors": {"errors", "tensors"},
    "loop_tasks": {"cancellation"},
    "runs": {"cancellation", "errors"},
    "batch_queue": {"batch_tensors", "batching_parameters", "errors", "model", "tensors"},
    "batch_inboxes": {"batch_queue"},
    "batch_scheduler": {
        *("batch_inboxes", "batch_queue", "batch_tensors", "errors", "loop_tasks", "metrics"),
    },
    "batching": {
        *("batch_inboxes", "batch_queue", "batch_scheduler", "batch_tensors"),
        *("batching_parameters", "cancellation", "errors", "metrics", "model", "tensors"),
    },
    "inference": {"model", "tensors"},
    "large_response": {"tensors", "wire"},
    "predict": {"errors", "inference", "large_response", "model", "tensors", "wire"},
    "classify": {"errors", "examples", "inference", "model", "tensors", "wire"},
    "regress": {"errors", "examples", "inference", "model", "tensors", "wire"},
    "multi_inference": {
        *("classify", "errors", "examples", "inference", "model", "regress", "tensors", "wire"),
    },
    "warmup": {
        *("classify", "errors", "inference", "metrics", "model", "multi_inference", "predict"),
        *("regress", "tfrecord", "wire"),
    },
    "session_config": {"options", "text_proto", "wire"},
    "tls_config": {"errors", "text_proto", "wire"},
    "tflite": {"errors", "tensors", "wire"},
    "loading": {"metrics", "model", "parallelism", "runtime", "tflite", "warmup"},
    "version_policy": set(),
    "model_config": {"errors", "version_policy", "wire"},
    "labels": {"errors", "model_config"},
    "servable": {"errors", "model"},
    "folders": {"errors", "model_config", "version_policy"},
    "servables": {
        *("cancellation", "errors", "flags", "folders", "labels", "model_config", "servable"),
    },
    "config_file": {"errors", "servables", "text_proto", "wire"},
    "json_pieces": {"tensors"},
    "json_text": {"errors", "json_pieces"},
    "json_values": {"errors", "json_pieces", "json_text", "tensors", "wire"},
    "json_decode": {"errors", "json_pieces", "json_text", "json_values"},
    "json_encode": {"errors", "json_pieces", "json_text", "json_values", "tensors"},
    "open_inference.__init__": set(),
    "open_inference.messages": {"wire"},
    "open_inference.datatypes": {"errors", "tensors", "wire"},
    "open_inference.contents": {"errors", "open_inference.datatypes", "tensors"},
    "open_inference.infer": {
        *("errors", "inference", "model", "predict", "tensors", "wire"),
        *("open_inference.contents", "open_inference.datatypes", "open_inference.messages"),
    },
    "open_inference.models": {
        *("servable", "servables"),
        *("open_inference.datatypes", "open_inference.infer", "open_inference.messages"),
    },
    "open_inference.json_data": {
        *("errors", "json_text", "open_inference.contents", "open_inference.datatypes", "tensors"),
    },
    "open_inference.json_request": {
        *("errors", "json_text"),
        *("open_inference.contents", "open_inference.datatypes", "open_inference.json_data"),
    },
    "open_inference.json_response": {
        *("errors", "json_encode", "json_text", "tensors"),
        *("open_inference.contents", "open_inference.datatypes"),
    },
    "service": {
        *("batching", "cancellation", "claims", "classify", "errors", "inference", "loop_tasks"),
        *("open_inference.infer", "open_inference.models"),
        *(
            "metrics",
            "model",
            "multi_inference",
            "predict",
            "regress",
            "runs",
            "servable",
            "servables",
        ),
        *("tensors", "wire"),
    },
    "open_inference.http": {
        *("cancellation", "errors", "json_text", "metrics", "service"),
        *("open_inference.json_request", "open_inference.json_response", "open_inference.messages"),
    },
    "rest": {
        *("cancellation", "errors", "json_decode", "json_encode", "json_text", "metrics"),
        "open_inference.http",
        *("request_log", "service", "wire"),
    },
    "http_parser": set(),
    "rest_server": {
        *("cancellation", "errors", "flags", "http_parser", "json_encode", "metrics", "rest"),
        *("request_log", "service"),
    },
    "bounds": {"errors", "request_log"},
    "standard_services": {"bounds", "wire"},
    "health": {"bounds", "open_inference.messages", "wire"},
    "profiler": {"c_api", "errors"},
    "grpc_methods": {
        *("cancellation", "claims", "errors", "loop_tasks", "metrics", "request_log", "runs"),
        *("service", "wire"),
    },
    "grpc_server": {
        *("bounds", "errors", "flags", "grpc_methods", "health", "loop_tasks", "metrics"),
        *("open_inference.messages", "profiler", "request_log", "runs", "service"),
        *("standard_services", "wire"),
    },
    "assembly": {
        *(
            "batching",
            "batching_parameters",
            "devices",
            "errors",
            "loading",
            "metrics",
            "monitoring_config",
        ),
        *("options", "servable", "servables", "session_config", "tls_config"),
    },
    "server": {
        *("assembly", "config_file", "errors", "grpc_server", "metrics", "model_config"),
        *("options", "profiler", "prometheus", "request_log", "rest_server", "service"),
        *("text_proto", "wire"),
    },
    "__main__": {"c_api", "errors", "flags", "log_format", "options", "proto_files", "server"},
    "__init__": {"async_client", "calls", "channel", "client", "errors"},
}
TRANSPORT = {
    *("channel", "client", "async_client", "standard_services", "profiler", "grpc_server"),
    *("bounds", "health"),
    *("server", "tls_config", "assembly", "grpc_methods"),
}

# Packages that one module alone needs.
PACKAGES = {
    "prometheus": {"prometheus_client"},
    "json_text": {"orjson", "rapidjson"},
    "http_parser": {"httptools"},
    "rest_server": {"uvicorn"},
    "health": {"grpc_health"},
    "standard_services": {"grpc_health", "grpc_reflection"},
    "tflite": {"ai_edge_litert", "flatbuffers"},
}


def imports(module):
    """Full names of what a module imports, wherever in its text."""
    names = set()
    path = PACKAGE / f"{module.replace('.', '/')}.py"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module in (OURS, f"{OURS}.open_inference"):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return names


def test_every_module_has_its_place():
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    assert set(ARROWS) == {".".join(path.parts) for path in paths}


@pytest.mark.parametrize("module", ARROWS)
def test_arrows(module):
    ours = {
        name.removeprefix(f"{OURS}.") for name in imports(module) if name.startswith(f"{OURS}.")
    }
    assert ours == ARROWS[module]


@pytest.mark.parametrize("module", ARROWS)
def test_what_is_not_ours(module):
    allowed = {"numpy", "ml_dtypes", "google"} | ({"grpc"} if module in TRANSPORT else set())
    allowed |= PACKAGES.get(module, set())
    roots = {name.split(".")[0] for name in imports(module)} - {OURS}
    assert roots <= allowed | set(sys.stdlib_module_names)


def test_arrows_have_no_circle():
    done = set()
    for module, targets in ARROWS.items():
        assert targets <= done
        done.add(module)
