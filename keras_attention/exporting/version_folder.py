"""Version folders of a model: complete when they appear, each with a number of its own."""

import contextlib
import errno
import fcntl
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

# A name that is no integer is no version, to TensorFlow Serving.
UNFINISHED = ".unfinished-"
TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
FULL = (errno.ENOSPC, errno.EDQUOT)


def versions(path: Path) -> dict[int, Path]:
    """Versions that are there, by number: to TensorFlow Serving 007 is version 7, too."""
    if not path.is_dir():
        return {}
    return {int(p.name): p for p in path.iterdir() if p.name.isdecimal()}


def check_free(path: Path, version: int) -> None:
    """Raises FileExistsError where the version is there already."""
    there = versions(path)
    if version in there:
        raise FileExistsError(
            f"Expected a version that is not there yet. Received: {there[version]}"
        )


@contextlib.contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """A folder beside the versions to write one into, which goes if it is not published.

    What exports that were killed have left goes as well. An export under way holds a lock on its
    folder, which the system lifts when the process ends.

    Args:
        path: `pathlib.Path` of the model; made if it is not there.

    Raises:
        OSError: the disk is full.
    """
    with _full_disk_in_one_line(path):
        path.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        folder, lock = _locked_folder(path)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def publish(folder: Path, path: Path, version: int | None = None) -> Path:
    """Gives a complete folder the number `version`, the next that is free by default.

    Returns:
        The `pathlib.Path` of the version.

    Raises:
        FileExistsError: the version that was asked for is there already.
    """
    folder.chmod(0o755)  # mkdtemp's folders are for their maker alone
    while True:
        if version is not None:
            check_free(path, version)
        number = 1 + max(versions(path), default=0) if version is None else version
        target = path / str(number)
        try:
            os.rename(folder, target)
        except OSError as error:
            # Another export was faster: its folder is not empty, so that it cannot be replaced.
            if error.errno not in TAKEN:
                raise
        else:
            return target


def _locked_folder(path: Path) -> tuple[Any, Any]:
    while True:
        folder = pathlib.Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=path))
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():  # and was not taken for abandoned before it was locked
            return folder, lock
        os.close(lock)


def _remove_abandoned(path: Path) -> None:
    for folder in path.glob(f"{UNFINISHED}*"):
        # Somebody else's, under way, gone meanwhile, or on a file system without locks: it stays.
        with contextlib.suppress(OSError):
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


@contextlib.contextmanager
def _full_disk_in_one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        full = getattr(error, "errno", None) in FULL
        if not full and os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise OSError(
            errno.ENOSPC, "Expected room for the model on the disk. Received: none", str(path)
        ) from None
