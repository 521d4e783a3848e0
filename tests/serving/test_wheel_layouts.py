"""Libraries are found in folders laid out as each system's wheels of TensorFlow are."""

import pytest

from keras_attention_serving.runtime import c_api

# Files of tensorflow and tensorflow_text 2.21; empty here.
LINUX = ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"]
TEXT = ["python/metrics/_text_similarity_metric_ops", "python/ops/_sentencepiece_tokenizer"]
LAYOUTS = {
    "linux_x86_64": (LINUX, ".so"),
    "linux_aarch64": (LINUX, ".so"),
    "macos_arm64": (["libtensorflow_cc.2.dylib", "libtensorflow_framework.2.dylib"], ".dylib"),
}


def laid_out(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.mark.parametrize("system", LAYOUTS)
def test_libraries_of_each_wheel_are_found(system, tmp_path):
    names, suffix = LAYOUTS[system]
    tensorflow = laid_out(tmp_path / "tensorflow", names)
    assert c_api.runtime_library(tensorflow) == tensorflow / names[0]
    operations = [name + suffix for name in TEXT]
    others = ["__init__.py", "core/pybinds/pywrap_model_converter.so", "python/ops/_x.py"]
    others += [f"core/pybinds/libpybinds_library_common{suffix}"]
    text = laid_out(tmp_path / "tensorflow_text", operations + others)
    assert c_api.operation_libraries(text) == [text / name for name in operations]


def test_a_wheel_without_the_library(tmp_path):
    assert c_api.runtime_library(laid_out(tmp_path, ["__init__.py"])) is None


def test_every_operation_library_of_the_installed_wheel_is_loaded():
    """Also that of RougeL, which lies apart from the others."""
    import importlib.util
    from pathlib import Path

    folder = Path(importlib.util.find_spec("tensorflow_text").origin).parent
    found = {path.name for path in c_api.operation_libraries(folder)}
    python = {p.name for p in (folder / "python").rglob("*") if p.suffix in (".so", ".dylib")}
    assert found == python
    assert any("text_similarity_metric" in name for name in found)
