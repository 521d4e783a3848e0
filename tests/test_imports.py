"""Which part may import which. The table is the architecture: change it knowingly."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "keras_attention"
SERVING = ROOT / "serving" / "keras_attention_serving"

# Part of the library: parts it may import, packages from outside it may import.
ARROWS = {
    "_types": (set(), set()),  # names of types, which every part may import
    "_xla": (set(), {"keras", "tensorflow"}),  # asks TensorFlow's graphs only where it runs
    "_conversion": (set(), set()),
    # Reads a tensor's values by its backend, and asserts in a graph of TensorFlow's.
    "_known": (set(), {"jax", "keras", "numpy", "tensorflow", "torch"}),
    "_token_ids": ({"_known", "_xla"}, {"keras", "numpy", "tensorflow"}),
    "ops": ({"_conversion", "_xla"}, {"keras", "numpy"}),
    "layers": ({"_conversion", "ops", "_token_ids"}, {"keras", "numpy"}),
    "decoding": ({"_known", "_token_ids", "_xla"}, {"keras"}),
    "models": ({"decoding", "layers", "ops", "schedules", "_token_ids"}, {"keras"}),
    "schedules": (set(), {"keras"}),
    "losses": ({"ops", "_token_ids"}, {"keras"}),
    "metrics": (set(), {"keras"}),
    "text": (set(), {"numpy", "sentencepiece", "tensorflow", "tensorflow_text"}),
    "migrate": ({"layers", "models"}, {"keras", "numpy"}),
    "plotting": (set(), {"matplotlib", "numpy"}),
}

# What one backend alone can do stands in files named for it, imported when called; so does what
# reads the files of one.
OF_ONE_BACKEND = {
    str(path.relative_to(LIBRARY)): path.stem.rsplit("_", 1)[1]
    for backend in ("tensorflow", "jax", "torch")
    for part in ("ops", "decoding", "migrate")
    for path in (LIBRARY / part).rglob(f"*_{backend}.py")
}

# The parts that hold what TensorFlow alone can do. Without it, the rest must import.
WITH_TENSORFLOW = {
    "exporting",
    "_known",
    "text",
    "_token_ids",
    "training",
    "_xla",
}
TENSORFLOW = {"sentencepiece", "tensorflow", "tensorflow_serving", "tensorflow_text"}

# What the command imports at the top of its files: an option is parsed before all that is slow.
COMMAND = ROOT / "keras_attention_command"
LIGHT = {"click", "keras_attention_command"}


def part_of(path):
    """`layers` for layers/x.py, `export` for export.py, `__init__` for the package's own."""
    relative = path.relative_to(LIBRARY)
    return relative.parts[0].removesuffix(".py")


def imported(path):
    """Full names of the modules that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            if node.module in ("keras_attention", "keras_attention_serving"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def files_of(folder):
    files = sorted(folder.rglob("*.py"))
    assert files
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in files]


def outside(path):
    tops = {name.split(".")[0] for name in imported(path)}
    return tops - set(sys.stdlib_module_names) - {"keras_attention"}


@pytest.mark.parametrize("path", files_of(LIBRARY))
def test_parts_import_what_the_table_allows(path):
    part = part_of(path)
    if part in ARROWS:
        parts, packages = ARROWS[part]
        ours = [n.split(".") for n in imported(path) if n.split(".")[0] == "keras_attention"]
        assert {n[1] if len(n) > 1 else n[0] for n in ours} <= parts | {part, "_types"}
        own = OF_ONE_BACKEND.get(str(path.relative_to(LIBRARY)))
        assert outside(path) <= packages | {own}


@pytest.mark.parametrize("path", files_of(LIBRARY))
def test_tensorflow_is_imported_where_the_table_says(path):
    own = OF_ONE_BACKEND.get(str(path.relative_to(LIBRARY)))
    if part_of(path) not in WITH_TENSORFLOW and own != "tensorflow":
        assert not outside(path) & TENSORFLOW


@pytest.mark.parametrize("path", files_of(LIBRARY))
def test_files_of_one_backend_are_imported_when_called(path):
    """At the top of another file, they would ask for a backend that is not there."""
    if str(path.relative_to(LIBRARY)) in OF_ONE_BACKEND:
        return  # which may share files among themselves
    own = {f"keras_attention.{name[:-3].replace('/', '.')}" for name in OF_ONE_BACKEND}
    top = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)]
    found = {node.module for node in top} | {
        f"{node.module}.{alias.name}" for node in top for alias in node.names
    }
    assert own and not own & found


@pytest.mark.parametrize("path", files_of(LIBRARY))
def test_the_library_does_not_know_the_serving_half(path):
    assert "keras_attention_serving" not in outside(path)


@pytest.mark.parametrize("path", files_of(LIBRARY))
def test_of_the_command_the_library_knows_the_settings_alone(path):
    names = {name for name in imported(path) if name.split(".")[0] == "keras_attention_command"}
    assert names <= {"keras_attention_command.settings"}


@pytest.mark.parametrize("path", files_of(COMMAND))
def test_the_command_imports_what_is_slow_in_its_functions(path):
    tops = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            tops |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            tops.add(node.module.split(".")[0])
    assert tops - set(sys.stdlib_module_names) <= LIGHT


@pytest.mark.parametrize("path", files_of(SERVING))
def test_the_serving_half_does_not_know_the_library(path):
    tops = {name.split(".")[0] for name in imported(path)}
    assert not tops & {"keras_attention", "keras", *TENSORFLOW}


@pytest.mark.parametrize("path", files_of(LIBRARY))
def test_only_public_modules_of_keras(path):
    assert not [name for name in imported(path) if name.startswith("keras.src")]


def test_the_table_names_parts_that_exist():
    parts = {part_of(path) for path in LIBRARY.rglob("*.py")}
    assert set(ARROWS) | WITH_TENSORFLOW <= parts
