"""The examples of the README run, with a model that takes text in the place of a trained one."""

import re
import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from keras_attention_serving.server import Server
from keras_attention_serving.settings.options import FLAGS

README = (Path(__file__).parents[2] / "serving" / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


class Upper(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serve(self, text):
        return {"output": tf.strings.upper(text)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, certificates):
    """A folder as the README takes it: models, and certificates for TLS."""
    folder = tmp_path_factory.mktemp("readme")
    tf.saved_model.save(
        model := Upper(),
        str(folder / "saved_models" / "date_normalizer" / "1"),
        signatures={"serving_default": model.serve},
    )
    for path in certificates.iterdir():
        shutil.copy(path, folder)
    return folder


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example(number, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    models = {"date_normalizer": "saved_models/date_normalizer"}
    with Server(models, port=0, host="127.0.0.1") as server:
        example = EXAMPLES[number].replace("localhost:8500", f"127.0.0.1:{server.port}")
        exec(compile(example, f"README example {number}", "exec"), {})
    assert capsys.readouterr().out


def test_there_are_examples():
    assert len(EXAMPLES) == 5


def test_every_flag_is_described():
    table = README.split("### Flags")[1].split("`--help` prints")[0]
    assert set(re.findall(r"`--([a-z_]+)`", table)) == {f.name for f in FLAGS}


def test_every_file_is_listed():
    package = Path(__file__).parents[2] / "serving" / "keras_attention_serving"
    listing = README.split("## In this folder")[1]
    for path in package.rglob("*.py"):
        if path.name != "__init__.py":
            assert path.name in listing
