"""One model in a folder: which versions there are, which are loaded, and who is using them.

A version of a model is a folder with an integer for a name inside the model's base path. The base
path is looked at again and again: a new version is loaded, and the old one goes when the new one
serves. Calls hold a lease on a version; one that is to go is freed when its last lease ends.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from keras_attention_serving import errors, warmup
from keras_attention_serving.runtime import SavedModel

logger = logging.getLogger(__name__)

Loader = Callable[[Path], SavedModel]
Policy = Callable[[Iterable[int]], set[int]]

MAX_LOAD_RETRIES = 5
LOAD_RETRY_SECONDS = 60.0


class State(IntEnum):
    """The life of a version, with the numbers of `GetModelStatus`."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass
class Version:
    """One version of a model.

    Attributes:
        number: the name of its folder.
        state: where it stands.
        error: why it could not be loaded, in state `END`.
    """

    number: int
    state: State = State.START
    error: errors.ServingError | None = None
    model: SavedModel | None = None
    leases: int = 0
    failures: int = 0
    retry_at: float = 0.0  # on the monotonic clock


def load(folder: Path, enable_warmup: bool = True) -> SavedModel:
    """The usual loader: a SavedModel, warmed up with the requests that lie beside it."""
    model = SavedModel(folder)
    try:
        if enable_warmup:
            warmup.replay(model, folder)
    except BaseException:
        model.close()
        raise
    return model


def newest(numbers: Iterable[int]) -> set[int]:
    """The policy that wants the highest version only."""
    return set(sorted(numbers)[-1:])


def versions_in(base_path: Path) -> dict[int, Path]:
    """The version folders in a base path: those with nothing but digits for a name.

    A model that is still being written is safe under any other name until it is renamed.

    Raises `OSError` if the base path cannot be read.
    """
    found: dict[int, Path] = {}
    for path in sorted(base_path.iterdir()):
        if path.name.isascii() and path.name.isdigit() and path.is_dir():
            found.setdefault(int(path.name), path)
    return found


def not_found(name: str, number: int | None) -> errors.NotFound:
    """The error for a model or version that is not served."""
    which = f"Latest({name})" if number is None else f"Specific({name}, {number})"
    return errors.NotFound(f"Servable not found for request: {which}")


class Servable:
    """The versions of one model.

    Args:
        name: what requests call it.
        base_path: folder of the version folders.
        loader: makes a model from a version folder.
        policy: which of the versions found are wanted.
    """

    def __init__(
        self, name: str, base_path: Path, loader: Loader = load, policy: Policy = newest
    ) -> None:
        self.name = name
        self.base_path = base_path
        self._loader = loader
        self._policy = policy
        self._versions: dict[int, Version] = {}
        self._lock = threading.Lock()  # for states and leases; never held while a model loads
        self._refreshing = threading.Lock()

    def refresh(self) -> None:
        """Looks at the base path, loads what is wanted and lets go of what is not.

        Nothing goes before something that is wanted serves, so that a broken version never
        replaces a working one. If the folder is there and empty, everything goes.

        Raises `OSError` if the base path cannot be read; nothing is changed then.
        """
        with self._refreshing:
            found = versions_in(self.base_path)
            wanted = self._policy(found)
            for number in sorted(wanted, reverse=True):
                if self._to_load(number):
                    self._load(number, found[number])
            serving = {version.number for version in self.versions(State.AVAILABLE)}
            if serving & wanted or not wanted:
                for number in sorted(serving - wanted):
                    self._unload(self._versions[number])

    def versions(self, state: State | None = None) -> list[Version]:
        """All versions ever seen, or those in one state, highest first."""
        with self._lock:
            ordered = sorted(self._versions.values(), key=lambda v: -v.number)
        return [version for version in ordered if state in (None, version.state)]

    @contextmanager
    def lease(self, number: int | None = None) -> Iterator[tuple[int, SavedModel]]:
        """An available version, by default the highest, and its model: safe to use inside.

        Raises `errors.NotFound` if it is not available.
        """
        with self._lock:
            version, model = self._find(number)
            version.leases += 1
        try:
            yield version.number, model
        finally:
            with self._lock:
                version.leases -= 1
                last = version.state is State.UNLOADING and version.leases == 0
            if last:
                self._free(version)

    def close(self) -> None:
        """Unloads everything; a version in use goes when its last lease ends."""
        with self._refreshing:
            for version in self.versions(State.AVAILABLE):
                self._unload(version)

    def _find(self, number: int | None) -> tuple[Version, SavedModel]:
        for _, version in sorted(self._versions.items(), reverse=True):
            if version.state is State.AVAILABLE and number in (None, version.number):
                if version.model is not None:
                    return version, version.model
        raise not_found(self.name, number)

    def _to_load(self, number: int) -> bool:
        version = self._versions.get(number)
        if version is None:
            return True
        if version.state is not State.END:
            return False
        due = version.failures <= MAX_LOAD_RETRIES and time.monotonic() >= version.retry_at
        return version.error is None or due

    def _load(self, number: int, folder: Path) -> None:
        with self._lock:
            version = self._versions.setdefault(number, Version(number))
            version.error = None
        self._enter(version, State.LOADING)
        try:
            model = self._loader(folder)
        except Exception as error:
            expected = isinstance(error, errors.ServingError | ImportError)
            logger.error("%s: cannot be loaded: %s", folder, error, exc_info=not expected)
            version.error = _for_clients(error)
            version.failures += 1
            version.retry_at = time.monotonic() + LOAD_RETRY_SECONDS
            self._enter(version, State.END)
        else:
            version.model, version.failures = model, 0
            self._enter(version, State.AVAILABLE)

    def _unload(self, version: Version) -> None:
        self._enter(version, State.UNLOADING)
        with self._lock:
            unused = version.leases == 0
        if unused:
            self._free(version)

    def _free(self, version: Version) -> None:
        with self._lock:
            model, version.model = version.model, None
        if model is not None:  # else another thread was quicker
            model.close()
            self._enter(version, State.END)

    def _enter(self, version: Version, state: State) -> None:
        with self._lock:
            version.state = state
        logger.info("%s version %d: %s", self.name, version.number, state.name)


def _for_clients(error: Exception) -> errors.ServingError:
    """What the status of a version may say of a failed load: nothing of our own bugs."""
    if isinstance(error, errors.ServingError):
        return error
    if isinstance(error, ImportError):  # no TensorFlow wheel
        return errors.FailedPrecondition(str(error))
    return errors.Internal("The model cannot be loaded.")
