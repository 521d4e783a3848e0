"""Each message in the page on troubleshooting is one that the code has."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
MESSAGES = re.findall(r"^### `(.*)`$", PAGE, flags=re.M)
FOLDERS = ("keras_attention", "keras_attention_command", "serving/keras_attention_serving")


def pattern(node):
    """A regular expression for a string of the code; a placeholder is any text."""
    if isinstance(node, ast.Constant):
        return re.escape(node.value)
    return "".join(pattern(v) if isinstance(v, ast.Constant) else ".*" for v in node.values)


@functools.cache
def patterns():
    """For each string of the modules, a compiled pattern and the number of its own characters."""
    found = set()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            tree = ast.parse(path.read_text("utf-8"))
            for node in ast.walk(tree):
                is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
                if is_text or isinstance(node, ast.JoinedStr):
                    found.add(pattern(node))
    return [(re.compile(p, re.S), len(re.sub(r"\.\*|\\", "", p))) for p in found]


@pytest.mark.parametrize("message", MESSAGES)
def test_the_message_is_in_the_code(message):
    """In one string, which has nearly all of its characters: a placeholder matches anything."""
    least = 0.7 * len(message.replace("...", ""))
    assert [p for p, size in patterns() if size >= least and p.fullmatch(message)]


def test_there_are_messages():
    assert len(MESSAGES) > 35
    assert len(set(MESSAGES)) == len(MESSAGES)
