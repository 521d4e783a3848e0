"""The versions of one model: those that are aspired to, those that are loaded, and their users.

Nothing here starts a thread or reads a folder. `ModelManager` sets the aspired versions and asks
for the next step, which it takes with `load` or, once no call uses a version any more, `free`. A
call holds a handle of its version.

    START -> LOADING -> AVAILABLE -> UNLOADING -> END
                 \\-> END, with the error

Aspired versions are loaded before others are unloaded, so a broken version never replaces a working
one. A version that has ended stays listed.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from keras_attention_serving import errors
from keras_attention_serving.inference.model import LoadedModel

logger = logging.getLogger(__name__)

Loader = Callable[[Path], LoadedModel]


class State(IntEnum):
    """State of a version, with the numbers of `GetModelStatus`."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(eq=False)
class Version:
    """One version of a model.

    Attributes:
        number: its number, which is the name of its folder.
        folder: its folder.
        state: its state.
        error: the reason why it could not be loaded, from the first failure on.
        tried_files: fingerprint of its folder when it was last tried to load.
        seen_files: fingerprint of its folder when it was last looked at since.
        model: the loaded model.
        epoch: number of the configuration that it was first aspired to under.
        is_aspired: True if it should be loaded.
        busy: True while it is being loaded or freed.
        num_handles: number of handles that calls hold.
        failures: number of failed attempts to load it.
        retry_at: time of the next attempt, on the monotonic clock.
    """

    number: int
    folder: Path = field(default_factory=Path)
    state: State = State.START
    error: errors.ServingError | None = None
    tried_files: object = None
    seen_files: object = None
    model: LoadedModel | None = None
    epoch: int = 0
    is_aspired: bool = True
    busy: bool = False
    num_handles: int = 0
    failures: int = 0
    retry_at: float = 0.0


@dataclass(frozen=True)
class Retries:
    """Number of further attempts to load a version, and the seconds between them."""

    count: int = 5
    seconds: float = 60.0


DEFAULT_RETRIES = Retries()


class ModelHandle:
    """Handle of a version: a `with` block in which it stays loaded; yields its number and model."""

    __slots__ = ("_owner", "_version", "_model")

    def __init__(self, owner: "ModelVersions", version: Version, model: LoadedModel) -> None:
        self._owner, self._version, self._model = owner, version, model

    def __enter__(self) -> tuple[int, LoadedModel]:
        return self._version.number, self._model

    def __exit__(self, *exc_info: object) -> None:
        self._owner._release(self._version)


def not_found(name: str, number: int | None) -> errors.NotFound:
    """The error for a model or version that is not served."""
    which = f"Latest({name})" if number is None else f"Specific({name}, {number})"
    return errors.NotFound(f"Servable not found for request: {which}")


class ModelVersions:
    """The versions of one model.

    Args:
        name: its name in requests.
        on_change: called, without a lock held, when a next step may have become possible: a version
            is loaded, has failed, is freed or is no longer used.

    Attributes:
        num_requests: number of handles that were asked for.
    """

    def __init__(self, name: str, on_change: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.num_requests = 0
        self._on_change = on_change
        self._versions: dict[int, Version] = {}
        self._aspired: Mapping[int, Path] = {}
        self._available: dict[int, Version] = {}  # highest first
        self._epoch = 0
        self._refusing = False
        self._lock = threading.Lock()  # never held while a model loads

    def set_aspired_versions(self, folders: Mapping[int, Path]) -> None:
        """Makes these versions, by number, and no others the aspired ones."""
        with self._lock:
            self._aspired = dict(folders)
            for version in self._versions.values():
                if version.state is not State.END:
                    version.is_aspired = version.number in folders
                elif version.number not in folders:
                    version.is_aspired = False  # if it comes back, it is loaded anew
            self._add_aspired()
        self._on_change()

    def forget_load_results(self) -> None:
        """Begins a new epoch: `load_result` ignores the versions of earlier ones."""
        with self._lock:
            self._epoch += 1

    def load_result(self) -> Version | None:
        """The highest version of this epoch that is available or has failed; None if none has."""
        with self._lock:
            for _, version in sorted(self._versions.items(), reverse=True):
                decided = version.state in (State.AVAILABLE, State.END)
                if decided and version.epoch == self._epoch:
                    return version
        return None

    def next_load(self) -> Version | None:
        """The version to call `load` with now; None if there is none. Returns no version twice."""
        now = time.monotonic()
        with self._lock:
            self._add_aspired()
            for _, version in sorted(self._versions.items(), reverse=True):
                if version.busy or version.state not in (State.START, State.LOADING):
                    continue
                if not version.is_aspired:
                    self._enter(version, State.END)
                elif now >= version.retry_at:
                    version.busy = True
                    return version
        return None

    def next_unload(self) -> Version | None:
        """The version to call `free` with now; None if there is none. Returns no version twice."""
        with self._lock:
            while (version := self._next_to_unload()) is not None:
                del self._available[version.number]
                self._enter(version, State.UNLOADING)
            for version in self._versions.values():
                is_unused = not version.num_handles and not version.busy
                if version.state is State.UNLOADING and is_unused:
                    version.busy = True
                    return version
        return None

    def retry_at(self) -> float | None:
        """Time of the next attempt to load, on the monotonic clock; None if none is planned."""
        with self._lock:
            times = [
                version.retry_at
                for version in self._versions.values()
                if version.state is State.LOADING and not version.busy
            ]
        return min(times, default=None)

    def failed(self) -> list[Version]:
        """Aspired versions that could not be loaded, including those that will be tried again."""
        with self._lock:
            return [
                version
                for version in self._versions.values()
                if version.error is not None
                and version.is_aspired
                and not version.busy
                and version.state in (State.LOADING, State.END)
            ]

    def retry_if_changed(self, version: Version, files: object) -> None:
        """Makes a version that `failed` returned be tried again at once if its files have changed.

        Files that keep changing are not tried until two calls in a row find them the same.

        Args:
            version: the version.
            files: fingerprint of its folder.
        """
        with self._lock:
            settled, version.seen_files = files == version.seen_files, files
            if not settled or files == version.tried_files:
                return
            if version.busy or not version.is_aspired:
                return
            version.failures, version.retry_at = 0, 0.0
            if version.state is State.END:
                self._enter(version, State.START)
        self._on_change()

    def load(self, version: Version, loader: Loader, retries: Retries) -> None:
        """Loads a version that `next_load` returned."""
        with self._lock:
            self._enter(version, State.LOADING)
        try:
            model = loader(version.folder)
        except Exception as error:
            self._load_failed(version, error, retries)
        else:
            with self._lock:
                version.model, version.error = model, None
                self._available[version.number] = version
                self._available = dict(sorted(self._available.items(), reverse=True))
                self._enter(version, State.AVAILABLE)
                version.busy = False
            logger.info(
                "Successfully loaded servable version {name: %s version: %d}",
                self.name,
                version.number,
            )
        self._on_change()

    def free(self, version: Version) -> None:
        """Frees a version that `next_unload` returned."""
        model, version.model = version.model, None
        try:
            if model is not None:
                model.close()
        except errors.ServingError as error:
            logger.error("%s version %d: %s", self.name, version.number, error)
        with self._lock:
            self._enter(version, State.END)
            version.busy = False
        self._on_change()

    def versions(self, state: State | None = None) -> list[Version]:
        """All versions ever seen, or those in one state, highest first."""
        with self._lock:
            ordered = sorted(self._versions.values(), key=lambda v: -v.number)
        return [version for version in ordered if state in (None, version.state)]

    def get_handle(self, number: int | None = None) -> ModelHandle:
        """A handle of an available version, by default of the highest.

            with model_versions.get_handle() as (number, model):
                model.run(...)

        Raises `errors.NotFound` if it is not available, `errors.Unavailable` after `refuse`.
        """
        with self._lock:
            self.num_requests += 1
            if self._refusing:
                raise errors.Unavailable("The server is stopping.")
            if number is None:
                version = next(iter(self._available.values()), None)
            else:
                version = self._available.get(number)
            if version is None or version.model is None:
                raise not_found(self.name, number)
            version.num_handles += 1
            return ModelHandle(self, version, version.model)

    def is_ready(self, number: int | None = None) -> bool:
        """True if `get_handle(number)` would succeed."""
        with self._lock:
            available = bool(self._available) if number is None else number in self._available
            return available and not self._refusing

    def refuse(self) -> None:
        """Gives no more handles: `get_handle` raises `errors.Unavailable` from now on."""
        with self._lock:
            self._refusing = True

    def _release(self, version: Version) -> None:
        with self._lock:
            version.num_handles -= 1
            last = version.state is State.UNLOADING and version.num_handles == 0
        if last:
            self._on_change()

    def _add_aspired(self) -> None:
        for number, folder in self._aspired.items():
            version = self._versions.get(number)
            if version is None or (version.state is State.END and not version.is_aspired):
                self._versions[number] = Version(number, folder, epoch=self._epoch)

    def _next_to_unload(self) -> Version | None:
        """The next version to unload, the lowest first; None if no other would serve then."""
        aspired = [version for version in self._versions.values() if version.is_aspired]
        others = [version for version in self._available.values() if not version.is_aspired]
        serving = any(version.state is State.AVAILABLE for version in aspired)
        if others and (serving or not aspired or len(others) > 1):
            return min(others, key=lambda version: version.number)
        return None

    def _load_failed(self, version: Version, error: Exception, retries: Retries) -> None:
        expected = isinstance(error, errors.ServingError | ImportError)
        with self._lock:
            version.error = _for_clients(error)
            version.failures += 1
            again = version.is_aspired and version.failures <= retries.count
            if again:
                version.retry_at = time.monotonic() + retries.seconds
            else:
                self._enter(version, State.END)
            version.busy = False
        logger.error(
            "Servable: {name: %s version: %d} load failure: %s%s",
            self.name,
            version.number,
            error,
            f" (next attempt in {retries.seconds:g} s)" if again else "",
            exc_info=not expected,
        )

    def _enter(self, version: Version, state: State) -> None:
        if version.state is not state:
            version.state = state
            logger.info("%s version %d: %s", self.name, version.number, state.name)


def _for_clients(error: Exception) -> errors.ServingError:
    """Error of a failed load for the status of a version, without internals."""
    if isinstance(error, errors.ServingError):
        return error
    if isinstance(error, ImportError):  # no TensorFlow wheel
        return errors.FailedPrecondition(str(error))
    return errors.Internal("The model cannot be loaded.")
