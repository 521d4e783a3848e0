"""What is built from here: a wheel and an sdist, each installed into an empty environment."""

import configparser
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import keras_attention

ROOT = Path(__file__).parents[1]
NAME = f"keras_attention_serving-{keras_attention.__version__}"
PACKAGES = (
    (ROOT, "keras_attention"),
    (ROOT, "keras_attention_command"),
    (ROOT / "serving", "keras_attention_serving"),
)
PARTS = (
    "keras_attention",
    "keras_attention_command",
    "serving",
    "tests",
    "docs",
    "examples",
    "benchmarks",
    "saved_models",
)
LIGHT = ("numpy", "grpcio", "protobuf", "click", "typing_extensions")


def setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", "utf-8")
    return parser


def folders(root, name):
    """The packages below a folder, as setup.cfg names them."""
    inits = (root / name).rglob("__init__.py")
    return {".".join(path.parent.relative_to(root).parts) for path in inits}


def test_setup_cfg_names_every_package():
    listed = setup_cfg()["options"]["packages"].split()
    expected = set().union(*(folders(root, name) for root, name in PACKAGES))
    assert len(listed) == len(set(listed))
    assert set(listed) == expected


def test_pyproject_has_no_project_table():
    """Setuptools would silently ignore setup.cfg."""
    assert set(tomllib.loads((ROOT / "pyproject.toml").read_text())) == {"build-system", "tool"}


def test_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", keras_attention.__version__)


def test_keras_belongs_to_the_extras_that_need_it():
    config = setup_cfg()
    assert config["options"]["install_requires"].split() == ["numpy>=1.26"]
    extras = config["options.extras_require"]
    client = {re.split("[<>=]", line)[0] for line in extras["serving"].split()}
    assert client == {"click", "grpcio", "protobuf"}
    for name in ("tensorflow", "jax", "torch"):
        assert f"{config['metadata']['name']}[layers]" in extras[name].split()


def run(*command, **kwargs):
    done = subprocess.run([str(a) for a in command], capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of sdist and wheel; the wheel is built from the sdist, as an index's user does."""
    # A copy: a build writes into the folder that it builds from.
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*_cache")
    for name in (*PARTS, ".ci"):
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for path in ROOT.iterdir():
        if path.is_file() and path.suffix in ("", ".md", ".cfg", ".toml", ".py", ".in"):
            shutil.copy(path, source)
    # setup.cfg says what building needs, and the test environment has it.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source)
    return folder


def test_both_are_as_an_index_wants_them(built):
    files = [built / f"{NAME}.tar.gz", built / f"{NAME}-py3-none-any.whl"]
    run(sys.executable, "-m", "twine", "check", "--strict", *files)


def test_the_sdist_has_all_that_the_repository_has(built):
    with tarfile.open(built / f"{NAME}.tar.gz") as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    listed = {"Makefile", "LICENSE", "CHANGELOG.md", "README.md", "setup.py", ".ci/run"}
    for part in PARTS:
        files = (p for p in (ROOT / part).rglob("*") if p.is_file())
        listed |= {p.relative_to(ROOT).as_posix() for p in files if "__pycache__" not in p.parts}
    listed = {n for n in listed if not re.match(r"saved_models/.*/", n) and ".egg-info" not in n}
    assert listed <= names


def test_a_wheel_has_three_top_level_names_and_all_files(built):
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
    info = f"{NAME}.dist-info"
    assert {n.split("/")[0] for n in names} == {*(name for _, name in PACKAGES), info}
    expected = set()
    for root, package in PACKAGES:
        files = (
            p
            for p in (root / package).rglob("*")
            if p.suffix in (".py", ".pyi", ".typed", ".binpb", ".proto")
        )
        expected |= {p.relative_to(root).as_posix() for p in files}
    assert {n for n in names if not n.startswith(info)} == expected
    assert {"keras_attention/py.typed", "keras_attention_serving/py.typed"} < names
    assert "keras_attention_serving/protocol/descriptors.binpb" in names
    assert f"{info}/entry_points.txt" in names


def test_links_of_the_page_lead_somewhere_from_an_index(built):
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as wheel:
        page = wheel.read(f"{NAME}.dist-info/METADATA").decode()
    url = setup_cfg()["metadata"]["url"]
    assert re.search(r"^Author: \w", page, re.M)
    assert len(re.findall(r"^Project-URL: ", page, re.M)) == 4
    links = re.findall(r"\]\(([^)]*)\)", page)
    assert links and all(re.match("https://|#", link) for link in links)
    for kind, path in re.findall(re.escape(url) + r"/(blob|raw)/main/([^)#\s]*)\)", page):
        assert (ROOT / path).is_file(), path
        assert (kind == "raw") == path.endswith(".png")


def environment(folder, wheel, *packages):
    """An interpreter of an environment with the wheel, and of this one's packages these alone."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    (site,) = folder.glob("lib/python*/site-packages")
    install = ["-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", site]
    run(sys.executable, *install, wheel)
    return folder / "bin" / "python", site


def test_the_client_alone(built, tmp_path):
    """`[serving]` in an empty environment: nothing else that is installed here can be imported."""
    python, site = environment(tmp_path / "client", built / f"{NAME}-py3-none-any.whl")
    from importlib.metadata import distribution

    for name in LIGHT:
        for path in distribution(name).files:
            source, target = distribution(name).locate_file(path), site / path
            if ".." not in path.parts and not target.exists() and Path(source).is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source)
    code = "import sys; from keras_attention_serving import AsyncClient, Client; print(Client)"
    assert "keras_attention_serving.client.client.Client" in run(python, "-I", "-c", code)
    done = subprocess.run([python, "-I", "-c", "import keras_attention"], capture_output=True)
    assert b'pip install "keras-attention-serving[tensorflow]"' in done.stderr.splitlines()[-1]
    command = [python, "-I", "-m", "keras_attention_command"]
    assert "Usage: keras-attention query" in run(*command, "query", "--help")
    lacking = {
        "train --train a --run b": "[tensorflow]",
        "serve a": "[server]",
        "query --server localhost:1 --model m text": "localhost:1",
        "plot --server localhost:1 --model m text --output a.png": "[tensorflow]",
    }
    for arguments, line in lacking.items():
        done = subprocess.run([*command, *arguments.split()], capture_output=True, text=True)
        (found,) = done.stderr.splitlines()
        assert done.returncode == 2 and line in found


def test_the_whole(built, tmp_path):
    """The wheel above all that is installed here: the library, its registry and the command."""
    python, site = environment(tmp_path / "whole", built / f"{NAME}-py3-none-any.whl")
    import keras

    (site / "beneath.pth").write_text(str(Path(keras.__file__).parents[1]))
    code = "import keras, keras_attention as ka; print(ka.__file__, "
    code += "keras.saving.get_registered_object('keras_attention>BahdanauAttention'))"
    found = run(python, "-I", "-c", code)
    assert str(site) in found and "keras_attention.layers" in found
