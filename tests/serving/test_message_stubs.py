"""The types of the messages are those of the descriptors."""

import ast
from pathlib import Path

import pytest

from tests.serving.message_stubs import MARK, MODULES, stub

PACKAGE = Path(__file__).parents[2] / "serving" / "keras_attention_serving"


@pytest.mark.parametrize("name", MODULES)
def test_a_stub_declares_what_its_module_holds(name):
    """Every message with every field, and every constant: no less and no more."""
    declared = MODULES[name].read_text().split(MARK)[1]
    made = stub(name)
    assert "class ModelInferRequest(Message):" in made or "class PredictRequest(Message):" in made
    assert ast.dump(ast.parse(declared)) == ast.dump(ast.parse(made))


def test_every_stub_has_its_row():
    assert {path for path in PACKAGE.rglob("*.pyi")} == set(MODULES.values())
