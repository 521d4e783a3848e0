"""A lock on a folder that vanishes with the process that holds it."""

import contextlib
import fcntl
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

NAME = ".lock"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a folder, which is made if need be, against every other process that asks for it.

    The system takes the lock back when the process ends, however it ends; the file that is locked
    is then of no meaning. On NFS it counts among all machines that mount the folder with locks;
    a file system without locks is warned of. A folder that was made and is still empty goes again.

    Raises:
        ValueError: another process, or another part of this one, has it.
    """
    path = Path(path)
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    file = _open(path / NAME)
    try:
        yield
    finally:
        # While it is held: whoever opened it before this sees that it is no longer there.
        with contextlib.suppress(OSError):
            (path / NAME).unlink()
        file.close()
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _open(path: Path) -> IO[Any]:
    """The file, open and locked."""
    while True:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - open as long as it is locked
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            holder = ""
            with contextlib.suppress(OSError):
                file.seek(0)
                holder = file.read().strip()
            file.close()
            raise ValueError(
                f"{path.parent}: Expected a run that no other process is training. "
                f"Received: one that process {holder or 'unknown'} is training"
            ) from None
        except OSError as error:
            warnings.warn(
                f"{path.parent}: no lock on this file system ({error}): let no two processes "
                "train one run",
                stacklevel=2,
            )
        if _is_at(file, path):
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            return file
        file.close()  # the one before has removed it after it was opened here


def _is_at(file: IO[Any], path: Path) -> bool:
    """True if the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
