"""Version folders of exports that run at once, are killed, or fill the disk."""

import errno
import fcntl
import os
import pathlib
import re
import subprocess
import sys
import threading

import pytest
import tensorflow as tf

from keras_attention.exporting import version_folder


def test_exports_at_once_get_a_number_each(tmp_path):
    """All of them have begun before the first is done."""
    path, start, numbers = tmp_path / "m", threading.Barrier(5), []

    def export(i):
        with version_folder.unfinished(path) as folder:
            (folder / "model").write_text(str(i))
            start.wait()
            numbers.append((int(version_folder.publish(folder, path).name), str(i)))

    threads = [threading.Thread(target=export, args=(i,)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(n for n, _ in numbers) == [1, 2, 3, 4, 5]
    assert all((path / str(n) / "model").read_text() == i for n, i in numbers)
    assert sorted(p.name for p in path.iterdir()) == ["1", "2", "3", "4", "5"]


def test_a_relative_path(tmp_path, monkeypatch):
    """Of which Python's temporary folders are relative or absolute, by its version."""
    monkeypatch.chdir(tmp_path)
    path = pathlib.Path("models/m")
    with version_folder.unfinished(path) as folder:
        (folder / "model").touch()
        assert version_folder.publish(folder, path) == path / "1"
    assert [p.name for p in path.iterdir()] == ["1"]


def test_a_version_that_was_asked_for_is_not_replaced_by_another(tmp_path):
    with version_folder.unfinished(tmp_path) as slow:
        (slow / "model").write_text("slow")
        with version_folder.unfinished(tmp_path) as fast:
            (fast / "model").write_text("fast")
            version_folder.publish(fast, tmp_path, 7)
        with pytest.raises(FileExistsError, match="not there yet. Received: .*/7$"):
            version_folder.publish(slow, tmp_path, 7)
    assert [p.name for p in tmp_path.iterdir()] == ["7"]
    assert (tmp_path / "7" / "model").read_text() == "fast"


KILLED = """
import os, signal, sys
from pathlib import Path
from keras_attention.exporting import version_folder

with version_folder.unfinished(Path(sys.argv[1])) as folder:
    (folder / "model").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_export_left_goes_with_the_next(tmp_path):
    run = subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    assert run.returncode == -9
    (left,) = tmp_path.iterdir()
    with version_folder.unfinished(tmp_path) as live:
        assert list(tmp_path.iterdir()) == [live] != [left]
        with version_folder.unfinished(tmp_path):  # leaves alone what is under way
            assert live.is_dir()
            assert len(list(tmp_path.iterdir())) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    """There is no telling what is under way: all of it stays."""

    def flock(*arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with version_folder.unfinished(tmp_path) as one, version_folder.unfinished(tmp_path) as two:
        assert one.is_dir() and two.is_dir()
        assert version_folder.publish(two, tmp_path).name == "1"


FULL = os.strerror(errno.ENOSPC)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, FULL),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        tf.errors.ResourceExhaustedError(None, None, f"m/variables.data; {FULL}"),
        tf.errors.UnknownError(None, None, f"m/variables.data; {FULL}"),
    ],
)
def test_a_full_disk(tmp_path, error):
    message = re.escape(f"room for the model on the disk. Received: none: '{tmp_path}'")
    with pytest.raises(OSError, match=message) as raised:
        with version_folder.unfinished(tmp_path):
            raise error
    assert raised.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_other_errors_are_what_they_were(tmp_path):
    with pytest.raises(tf.errors.ResourceExhaustedError, match="out of memory"):
        with version_folder.unfinished(tmp_path):
            raise tf.errors.ResourceExhaustedError(None, None, "out of memory")
    assert list(tmp_path.iterdir()) == []
