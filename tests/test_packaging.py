import configparser
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import keras_attention

ROOT = Path(__file__).parents[1]


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
    expected = folders(ROOT, "keras_attention") | folders(
        ROOT / "serving", "keras_attention_serving"
    )
    assert len(listed) == len(set(listed))
    assert set(listed) == expected


def test_pyproject_has_no_project_table():
    """Setuptools would silently ignore setup.cfg."""
    assert set(tomllib.loads((ROOT / "pyproject.toml").read_text())) == {"build-system", "tool"}


def test_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", keras_attention.__version__)


def test_a_wheel_has_two_top_level_names_and_all_files(tmp_path):
    # A copy: a build writes into the folder that it builds from.
    source = tmp_path / "source"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("keras_attention", "serving"):
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    for name in ("setup.cfg", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    (source / "README.md").write_text("keras_attention\n")
    code = "from setuptools import build_meta; print(build_meta.build_wheel('..'))"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (path,) = tmp_path.glob("*.whl")
    assert path.name == f"keras_attention-{keras_attention.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
    info = f"keras_attention-{keras_attention.__version__}.dist-info"
    assert {n.split("/")[0] for n in names} == {"keras_attention", "keras_attention_serving", info}
    expected = set()
    for root, package in ((ROOT, "keras_attention"), (ROOT / "serving", "keras_attention_serving")):
        files = (p for p in (root / package).rglob("*") if p.suffix in (".py", ".typed", ".binpb"))
        expected |= {p.relative_to(root).as_posix() for p in files}
    assert {n for n in names if not n.startswith(info)} == expected
    assert {"keras_attention/py.typed", "keras_attention_serving/py.typed"} < names
    assert "keras_attention_serving/descriptors.binpb" in names
    assert f"{info}/entry_points.txt" in names
