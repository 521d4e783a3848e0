"""What can be imported from where, and that it says what it is."""

import ast
import importlib.util
import inspect
import re
from pathlib import Path

import keras
import pytest

import keras_attention
from keras_attention import decoding, layers, models, ops

PACKAGES = [ops, layers, decoding, models]
ids = {"ids": lambda package: package.__name__}
PUBLIC = [
    pytest.param(getattr(package, name), id=f"{package.__name__}.{name}")
    for package in PACKAGES
    for name in package.__all__
]
LAYERS = [getattr(layers, name) for name in layers.__all__]
# Templates: no formula of their own, and nothing to call.
TEMPLATES = {layers.AttentionBase, layers.StatefulAttention}


def re_exported(package):
    """Names that the package's file imports from its own modules, `import x as x`, or all."""
    tree = ast.parse(Path(package.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = [alias for node in imports for alias in node.names if alias.name != "*"]
    assert all(alias.asname == alias.name for alias in names), package
    return [alias.name for alias in names]


@pytest.mark.parametrize("package", PACKAGES, **ids)
def test_all_is_what_is_re_exported(package):
    assert package.__all__ == sorted(package.__all__)
    assert sorted(re_exported(package)) == sorted(package.__all__)
    assert all(hasattr(package, name) for name in package.__all__)


def test_all_at_the_top():
    """Every name that is no module of its own, and the packages that a user reads from."""
    exported = set(keras_attention.__all__)
    assert len(exported) == len(keras_attention.__all__)
    own = exported - set(layers.__all__)
    assert own == {name for name in re_exported(keras_attention) if name != "_keras"}
    public = {name for name in vars(keras_attention) if not name.startswith("_")}
    modules = {name for name in public if inspect.ismodule(getattr(keras_attention, name))}
    assert public - modules == exported - modules - {"__version__"}


def test_modules_at_the_top_are_meant_for_users():
    """Those that are not begin with an underscore."""
    folder = Path(keras_attention.__file__).parent
    modules = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert {name for name in modules if not name.startswith("_")} == {
        *("decoding", "exporting", "layers", "losses", "metrics", "migrate", "models", "ops"),
        *("plotting", "schedules", "text", "training"),
    }


def test_export_is_a_function_and_no_module():
    assert inspect.isfunction(keras_attention.export)
    assert importlib.util.find_spec("keras_attention.export") is None
    module = importlib.import_module("keras_attention.exporting.export")
    assert module.export is keras_attention.export


def test_every_layer_is_at_the_top():
    for name in layers.__all__:
        assert getattr(keras_attention, name) is getattr(layers, name)


def test_every_registered_class_is_public_under_its_own_name():
    """What a file of a model names must be there for whoever loads it."""
    found = {
        name: value
        for name, value in keras.saving.get_custom_objects().items()
        if name.startswith("keras_attention>") and not value.__name__.startswith("_")
    }
    assert len(found) >= len(LAYERS) - len(TEMPLATES)
    for name, value in found.items():
        assert name == f"keras_attention>{value.__name__}"
        package = value.__module__.split(".")[1]
        home = getattr(keras_attention, package)
        owners = [home, keras_attention]
        assert any(getattr(owner, value.__name__, None) is value for owner in owners), name


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer not in TEMPLATES])
def test_every_layer_is_registered(layer):
    """Loading needs no `custom_objects`."""
    name = keras.saving.get_registered_name(layer)
    assert name == f"keras_attention>{layer.__name__}"


@pytest.mark.parametrize("layer", LAYERS)
def test_one_layer_one_file(layer):
    # Before a capital that begins a word: NTMCell is ntm_cell. MoChA is a word of its own.
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", layer.__name__).lower()
    words = words.replace("mo_ch_a", "mocha")
    assert re.fullmatch(rf"keras_attention\.layers\.([a-z_]+\.)?{words}", layer.__module__)


@pytest.mark.parametrize("public", PUBLIC)
def test_everything_public_has_a_docstring(public):
    assert len(inspect.getdoc(public).splitlines()[0]) > 10


@pytest.mark.parametrize("layer", LAYERS)
def test_docstrings_of_layers_hold_every_section(layer):
    sections = ["Mask", "Args:", "Call arguments", "eturns", "Raises:"]
    if layer not in TEMPLATES:
        sections += ["Example:", "```python", "Reference:", "https://"]
    missing = [section for section in sections if section not in layer.__doc__]
    assert not missing


@pytest.mark.parametrize("layer", LAYERS)
def test_docstrings_of_layers_hold_every_argument(layer):
    arguments = set(inspect.signature(layer.__init__).parameters) - {"self", "kwargs"}
    described = inspect.getdoc(layer).split("Args:")[1].split("Call arguments")[0]
    assert not [name for name in arguments if f"    {name}:" not in described]


def test_version():
    assert keras_attention.__version__.count(".") == 2
