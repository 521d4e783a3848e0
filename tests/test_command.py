"""The command's start: what it imports, what it says where parts are missing, its table."""

import subprocess
import sys

import pytest

from keras_attention_command import missing
from keras_attention_command.cli import cli
from keras_attention_command.table import table

WITHOUT = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in {absent}:
            raise ModuleNotFoundError(f"No module named {{name}}", name=name)

sys.meta_path.insert(0, Absent())
from keras_attention_command.__main__ import main
main({arguments})
"""
LIBRARY = {"tensorflow", "keras", "rich", "matplotlib", "uvicorn", "grpc_health"}


def run_without(absent, *arguments):
    code = WITHOUT.format(absent=set(absent), arguments=list(arguments))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_every_help_without_tensorflow():
    """All in one process: none of them asks for what is not there."""
    asked = [["--help"], *([name, "--help"] for name in cli.commands)]
    code = "for arguments in {}:\n    try:\n        main(arguments)\n    except SystemExit as e:\n"
    code += "        assert e.code == 0"
    program = WITHOUT.replace("main({arguments})\n", code.format(asked))
    done = subprocess.run(
        [sys.executable, "-c", program.format(absent=LIBRARY)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: keras-attention") == len(asked)


@pytest.mark.parametrize(
    ("absent", "arguments", "extra"),
    [
        ({"click"}, ["--help"], "serving"),
        ({"grpc"}, ["query", "--model", "m", "text"], "serving"),
        ({"uvicorn"}, ["serve", "m"], "server"),
        ({"tensorflow"}, ["train", "--train", "a", "--run", "b"], "tensorflow"),
        ({"tensorflow"}, ["evaluate", "--run", "a", "--test", "b"], "tensorflow"),
        ({"tensorflow"}, ["export", "--run", "a", "--to", "b"], "tensorflow"),
        ({"keras"}, ["plot", "--model", "m", "text", "--output", "a.png"], "tensorflow"),
    ],
)
def test_what_is_missing_is_one_line(absent, arguments, extra):
    done = run_without(absent, *arguments)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith("keras-attention: Expected")
    assert f'pip install "keras-attention-serving[{extra}]"' in line


def test_no_metric_without_its_package():
    """Said before anything is read; what TensorFlow said while it was imported stands above."""
    done = run_without({"sacrebleu"}, *"evaluate --run a --test b --metric bleu".split())
    assert done.returncode == 2
    assert '"keras-attention-serving[metrics]"' in done.stderr.splitlines()[-1]


def test_an_import_that_is_our_fault_is_no_missing_package():
    assert missing.reason(ImportError("cannot import name", name="keras_attention.layers")) is None
    assert missing.reason(ModuleNotFoundError("x", name="keras_attention.nothing")) is None


def test_another_project_of_the_same_import_name(tmp_path, monkeypatch):
    assert missing.overwritten() is None
    package = tmp_path / "keras_attention"
    package.mkdir()
    (package / "__init__.py").write_text("from keras_attention.self_attention import SelfAttention")
    monkeypatch.delitem(sys.modules, "keras_attention", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert f"another project, {package}" in missing.overwritten()


def test_a_table_is_aligned_and_one_line_a_row():
    found = table([("a", "bcd"), ("日本", "x\ny"), ("e\u0301", "\x1b[1m")])
    assert found.splitlines() == [
        "a    │ bcd",
        "─────┼────────",
        "日本 │ x\\ny",
        "e\u0301    │ \\x1b[1m",
    ]
