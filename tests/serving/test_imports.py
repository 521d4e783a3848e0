"""Import rules: the data plane knows no transport, and nothing here knows the library."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "serving" / "keras_attention_serving"
OURS = "keras_attention_serving"

# Each part, a folder or a module, and the parts that it may import; those stand above.
ARROWS = {
    "errors": set(),
    "protocol": {"errors"},
    "concurrency": {"errors"},
    "monitoring": {"errors", "protocol"},
    "settings": {"concurrency", "errors", "protocol"},
    "client": {"errors", "protocol"},
    "runtime": {"concurrency", "errors", "protocol"},
    "inference": {"errors", "protocol"},
    "batching": {"concurrency", "errors", "inference", "monitoring", "protocol"},
    "versions": {"concurrency", "errors", "inference", "monitoring", "protocol", "runtime"},
    "open_inference": {"errors", "inference", "protocol", "versions"},
    "service": set(
        "batching concurrency errors inference monitoring open_inference protocol versions".split()
    ),
    "grpc": set("concurrency errors monitoring open_inference protocol runtime service".split()),
    "rest": {"concurrency", "errors", "monitoring", "open_inference", "protocol", "service"},
    "factory": {"batching", "errors", "monitoring", "runtime", "settings", "versions"},
    "server": set("errors factory grpc monitoring protocol rest service settings versions".split()),
    "__main__": {"errors", "monitoring", "protocol", "runtime", "server", "settings"},
    "__init__": {"client", "errors"},
}

# Packages from outside, besides NumPy and protobuf, and the files that may import them.
PACKAGES = {
    "grpc": {"client/", "grpc/", "factory.py", "server.py", "settings/tls_config.py"},
    "grpc_health": {"grpc/"},
    "grpc_reflection": {"grpc/standard_services.py"},
    "prometheus_client": {"monitoring/prometheus.py"},
    "orjson": {"rest/json_text.py"},
    "rapidjson": {"rest/json_text.py"},
    "httptools": {"rest/http_parser.py"},
    "uvicorn": {"rest/server.py"},
    "ai_edge_litert": {"runtime/tflite.py"},
    "flatbuffers": {"runtime/tflite.py"},
}
FILES = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}


def part_of(name):
    """`rest` for rest/server.py and for `rest.server`."""
    return name.replace("/", ".").split(".")[0]


def imports(name):
    """Full names of what a file imports, wherever in its text."""
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == OURS:
            yield from (f"{OURS}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_every_part_has_its_place():
    assert set(ARROWS) == {part_of(name) for name in FILES}


@pytest.mark.parametrize("part", ARROWS)
def test_arrows(part):
    """Exactly these: an arrow that is not needed any more must be removed."""
    names = {n for name in FILES if part_of(name) == part for n in imports(name)}
    ours = {part_of(n.removeprefix(f"{OURS}.")) for n in names if n.startswith(f"{OURS}.")}
    assert ours - {part} == ARROWS[part]


@pytest.mark.parametrize("name", FILES)
def test_what_is_not_ours(name):
    allowed = {package for package, places in PACKAGES.items() if name.startswith(tuple(places))}
    roots = {imported.split(".")[0] for imported in imports(name)} - {OURS}
    assert roots - allowed <= {"numpy", "ml_dtypes", "google"} | set(sys.stdlib_module_names)


def test_arrows_have_no_circle():
    done = set()
    for part, targets in ARROWS.items():
        assert targets <= done
        done.add(part)


def test_folders_are_small():
    """At most twenty files a folder."""
    folders = {path.parent for path in FILES.values()}
    assert all(len(list(folder.glob("*.py"))) <= 20 for folder in folders)
