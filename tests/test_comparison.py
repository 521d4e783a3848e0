"""The tests and files that the documentation names exist."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("serving/*.md")])
COMPARISON = ROOT / "docs" / "comparison.md"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
GAP = "–"


def names_of_tests(path):
    """The names of the tests in a file, read without running it."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_tests_that_are_named_exist(page):
    text = page.read_text("utf-8")
    named = TEST.findall(text)
    assert len(named) == text.count("::test_"), "a name that is not written as a whole"
    for path, name in named:
        assert name in names_of_tests(path), f"{path}::{name}"


@functools.cache
def files():
    """The paths of all files that pages may name."""
    packages = ("keras_attention", "keras_attention_command", "serving")
    folders = (*packages, "benchmarks", "examples", "tests")
    return [path.as_posix() for name in folders for path in (ROOT / name).rglob("*.*")]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_files_that_are_named_exist(page):
    if page.name == "CHANGELOG.md":  # of the names that files had
        return
    for name in re.findall(r"`([\w./]+\.(?:py|config|yaml|proto))`", page.read_text("utf-8")):
        assert any(path.endswith("/" + name) for path in files()), name


def rows():
    """The rows of the tables that have a column of ours, as lists of cells."""
    is_ours = False
    for line in COMPARISON.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            is_ours = False
        elif len(cells) > 1 and cells[1] == "here":
            is_ours, columns = True, len(cells)
        elif is_ours and set(line) - set("|-"):
            assert len(cells) == columns, line
            yield cells


def test_every_cell_of_ours_is_tests_or_a_gap():
    found = list(rows())
    assert len(found) > 50
    for capability, ours, *peers in found:
        assert capability
        assert ours == GAP or all(TEST.fullmatch(name) for name in ours.split("<br>")), ours
        assert all(re.match(r"Y|P|–|·|n/a|one step", peer) for peer in peers), capability
