import dataclasses
import json
import resource
import shutil

import numpy as np
import pytest

from keras_attention.training.run_folder import RunFolder
from keras_attention_command.settings import CHOICES, FORMER_NAMES, RANGES, Settings
from tests.tiny_run import EPOCHS, settings, trained


@pytest.fixture
def folder(tmp_path):
    """A copy that a test may spoil."""
    shutil.copytree(trained().path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def test_a_run_comes_back(folder):
    assert folder.exists() and folder.has_model()
    assert folder.settings() == settings(epochs=EPOCHS, max_length=16, max_source_length=17)
    source, target = folder.tokenizers()
    assert source.proto != target.proto
    assert (folder.path / "source.model").read_bytes() == source.proto
    assert folder.load_model().optimizer is not None


def test_settings_are_readable_json_and_keep_their_types(folder):
    symbols = ("日", "jan")
    values = dataclasses.asdict(settings(source_symbols=symbols, dropout=0.5))
    folder._write_json("settings.json", values)
    assert "日" in (folder.path / "settings.json").read_text("utf-8")
    assert folder.settings() == settings(source_symbols=symbols, dropout=0.5)


def test_saving_replaces_model_and_state(folder):
    model = folder.load_model()
    folder.save_model(model, 7, 0.25)
    assert folder.state() == {"epoch": 7, "best": 0.25}
    assert not [p for p in folder.path.iterdir() if p.name.startswith(".")]


def test_a_save_that_fails_keeps_the_model_before(folder):
    before = folder.model_path.read_bytes()

    class Broken:
        def save(self, path):
            path.write_bytes(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        folder.save_model(Broken(), 7, 0.25)
    assert folder.model_path.read_bytes() == before
    assert folder.state() == trained().state()


def test_no_run(tmp_path):
    folder = RunFolder(tmp_path / "none")
    assert not folder.exists() and not folder.has_model()
    for read in (folder.settings, folder.tokenizers, folder.load_model, folder.state):
        with pytest.raises(FileNotFoundError, match="none: Expected a training run. Received: no "):
            read()


def test_a_broken_model(folder):
    folder.model_path.write_bytes(b"no zip")
    with pytest.raises(ValueError, match="model.keras: Expected a model that Keras saved"):
        folder.load_model()


def test_former_names_of_settings(folder):
    values = json.loads((folder.path / "settings.json").read_text())
    for former, name in FORMER_NAMES.items():
        values[former] = values.pop(name)
    folder._write_json("settings.json", values | {"looks": 7, "source_tokens": "bpe"})
    settings = folder.settings()
    assert (settings.validations_per_epoch, settings.source_tokenizer) == (7, "bpe")


def test_settings_of_another_version(folder):
    values = json.loads((folder.path / "settings.json").read_text())
    folder._write_json("settings.json", {**values, "zeta": 1, "alpha": 2})
    with pytest.raises(ValueError, match="run of this version. Received: alpha, zeta$"):
        folder.settings()
    del values["beta_2"]
    folder._write_json("settings.json", values)
    assert folder.settings().beta_2 == Settings().beta_2


def test_every_number_has_a_range():
    numbers = {f.name for f in dataclasses.fields(Settings) if f.type in (int, float)}
    assert numbers == set(RANGES)


@pytest.mark.parametrize("name", sorted(RANGES))
def test_numbers_out_of_range(name):
    lowest, end = RANGES[name]
    assert getattr(Settings(**{name: lowest}), name) == lowest
    for bad in (lowest - 1, end, float("nan")):
        with pytest.raises(ValueError, match=f"Expected .*{name}.*Received: {name}={bad}"):
            Settings(**{name: bad})


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_unknown_choices(name):
    with pytest.raises(ValueError, match=f"Expected {name} to be one of .*{name}='other'"):
        Settings(**{name: "other"})


def test_dot_scores_need_an_encoder_of_one_direction():
    with pytest.raises(ValueError, match="bidirectional=True"):
        Settings(attention="luong-dot")
    assert Settings(attention="luong-dot", bidirectional=False).attention == "luong-dot"


def test_a_full_disk_is_one_line_and_what_was_kept_is_intact(folder):
    """Of files, here, that may be no longer than 20 kB."""
    model, before = folder.load_model(), folder.model_path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(
            OSError, match=r"run: Expected room for model.keras; .*: File too large"
        ):
            folder.save_model(model, 7, 0.25)
        arrays = {"model": [np.zeros(10_007)]}
        with pytest.raises(OSError, match=r"run: Expected room for training.npz; .*File too large"):
            folder.save_training(7, 0.25, arrays)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert folder.model_path.read_bytes() == before
    assert folder.state() == trained().state()
    assert not [p for p in folder.path.iterdir() if p.name.startswith(".")]
