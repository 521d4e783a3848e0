"""A run that was stopped, wherever, ends as one that was not: to the bit."""

import os
import subprocess
import sys

import numpy as np
import pytest

from keras_attention.training import trainer as training
from keras_attention.training.run_folder import RunFolder
from tests.tiny_run import DEV, SMALLEST, TRAIN, Stopped, quiet, settings, stopped_after, train

# Four batches a pass: three looks do not divide it. All that draws numbers or remembers is in use.
EVERYTHING = {
    **{
        "dropout": 0.25,
        "schedule": "noam",
        "validations_per_epoch": 3,
        "ema_momentum": 0.9,
        "average_checkpoints": 2,
    },
    "units": 6,
}


def assert_same_run(one, two):
    assert one.state() == two.state()
    (epoch, best, arrays), (other_epoch, other_best, others) = (
        folder.load_training() for folder in (one, two)
    )
    assert (epoch, best, set(arrays)) == (other_epoch, other_best, set(others))
    arrays["kept"], others["kept"] = (f.load_model().get_weights() for f in (one, two))
    for name, values in arrays.items():
        for a, b in zip(values, others[name], strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_stopped_in_the_middle_of_a_pass(tmp_path):
    """In the first look of the second pass."""
    whole, _ = train(tmp_path / "whole", **EVERYTHING)
    with stopped_after(5, KeyboardInterrupt):
        train(tmp_path / "stopped", **EVERYTHING)
    folder = RunFolder(tmp_path / "stopped")
    assert training.resume(folder, TRAIN, DEV, quiet()).epoch[-1] == 5
    assert_same_run(folder, whole)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of two looks that was never stopped; tests must not change it."""
    return train(tmp_path_factory.mktemp("whole") / "run", epochs=2, **SMALLEST)[0]


@pytest.mark.parametrize(
    ("name", "look"),
    [("model.keras", 1), ("state.json", 1), ("training.npz", 1), ("training.npz", 0)],
)
def test_stopped_while_a_look_is_kept(whole, tmp_path, monkeypatch, name, look):
    """Of the files of a look some are new and some are old."""
    replace, written = os.replace, []

    def stopping(source, target):
        written.append(os.path.basename(target))
        if written.count(name) == look + (1 if name == "model.keras" else 2):  # one at the start
            raise Stopped
        replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(os, "replace", stopping)
        train(tmp_path / "stopped", epochs=2, **SMALLEST)
    folder = RunFolder(tmp_path / "stopped")
    assert training.resume(folder, TRAIN, DEV, quiet()).epoch == [0, 1][look:]
    assert_same_run(folder, whole)


def test_killed_before_the_first_look_a_run_begins_anew(tmp_path):
    whole, _ = train(tmp_path / "whole", **SMALLEST)
    folder = RunFolder(tmp_path / "stopped")
    for goes_on in (training.resume, training.train):
        with stopped_after(1, by=Stopped):
            training.train(folder, TRAIN, DEV, settings(**SMALLEST, seed=7), quiet())
        assert folder.exists() and not folder.has_model()
        if goes_on is training.train:
            training.train(folder, TRAIN, DEV, settings(**SMALLEST), quiet())
            assert_same_run(folder, whole)
        else:
            assert training.resume(folder, TRAIN, DEV, quiet()).epoch == [0, 1]
            assert folder.settings().seed == 7
            folder = RunFolder(tmp_path / "other")


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path):
    folder = RunFolder(tmp_path / "new" / "run")
    refused = f"run: Expected a run that no other .* process {os.getpid()} is training"
    with folder.locked():
        with pytest.raises(ValueError, match=refused), folder.locked():
            pass
        for train_again in (training.train, training.resume):
            folder.save_settings(settings())
            with pytest.raises(ValueError, match=refused):
                rest = (settings(),) if train_again is training.train else ()
                train_again(folder, TRAIN, DEV, *rest)
    assert [path.name for path in folder.path.iterdir()] == ["settings.json"]
    with folder.locked():
        pass


def test_a_lock_goes_with_its_process_and_a_folder_with_its_lock(tmp_path):
    script = (
        "import sys, os, signal; from keras_attention.training.run_lock import locked\n"
        "with locked(sys.argv[1]): os.kill(os.getpid(), signal.SIGKILL)"
    )
    folder = RunFolder(tmp_path / "new" / "run")
    killed = subprocess.run([sys.executable, "-c", script, folder.path], check=False)
    assert killed.returncode == -9
    (folder.path / ".unfinished-1-model.keras").write_bytes(b"half")
    with folder.locked():
        assert [path.name for path in folder.path.iterdir()] == [".lock"]
    assert not any(folder.path.iterdir())
    folder.path.rmdir()
    (tmp_path / "new").rmdir()
    with pytest.raises(ValueError, match="kind='syllable'"):
        training.train(folder, TRAIN, DEV, settings(source_tokenizer="syllable"), quiet())
    assert not (tmp_path / "new").exists()
