"""One model: which versions of it are wanted, which are loaded, and who is using them.

Nothing here starts a thread or looks at a folder. `Servables` says which versions are wanted and
asks for the next step; a step is made with `load` or, once no call uses a version any more,
`free`. Calls hold a lease on a version.

    START -> LOADING -> AVAILABLE -> UNLOADING -> END
                 \\-> END, with the error

What is wanted is loaded before what is not wanted goes, so that a broken version never replaces a
working one. A version that has ended stays listed.
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
    """The life of a version, with the numbers of `GetModelStatus`."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(eq=False)
class Version:
    """One version of a model.

    Attributes:
        number: the name of its folder.
        folder: where it lies.
        state: where it stands.
        error: why it could not be loaded, from the first failure on.
        tried: what its folder held when it was last tried to load.
        seen: what its folder held when it was last looked at since.
    """

    number: int
    folder: Path = field(default_factory=Path)
    state: State = State.START
    error: errors.ServingError | None = None
    tried: object = None
    seen: object = None
    model: LoadedModel | None = None
    epoch: int = 0
    wanted: bool = True
    busy: bool = False  # a step with it is under way
    leases: int = 0
    failures: int = 0
    retry_at: float = 0.0  # on the monotonic clock


@dataclass(frozen=True)
class Retries:
    """How often, and after how many seconds each, to try again to load a version."""

    count: int = 5
    seconds: float = 60.0


DEFAULT_RETRIES = Retries()


class Lease:
    """The right to use a version inside a `with` block, which yields its number and its model."""

    __slots__ = ("_servable", "_version", "_model")

    def __init__(self, servable: "Servable", version: Version, model: LoadedModel) -> None:
        self._servable, self._version, self._model = servable, version, model

    def __enter__(self) -> tuple[int, LoadedModel]:
        return self._version.number, self._model

    def __exit__(self, *exc_info: object) -> None:
        self._servable._give_back(self._version)


def not_found(name: str, number: int | None) -> errors.NotFound:
    """The error for a model or version that is not served."""
    which = f"Latest({name})" if number is None else f"Specific({name}, {number})"
    return errors.NotFound(f"Servable not found for request: {which}")


class Servable:
    """The versions of one model.

    Args:
        name: what requests call it.
        on_change: called, without a lock held, when something may have become possible: a version
            is loaded, has failed, is free or is no longer used.

    Attributes:
        asked: how many leases have been asked for.
    """

    def __init__(self, name: str, on_change: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self.asked = 0
        self._on_change = on_change
        self._versions: dict[int, Version] = {}
        self._wanted: Mapping[int, Path] = {}
        self._available: dict[int, Version] = {}  # highest first
        self._epoch = 0
        self._refusing = False
        self._lock = threading.Lock()  # never held while a model loads

    def want(self, folders: Mapping[int, Path]) -> None:
        """From now on these versions are wanted, and no others."""
        with self._lock:
            self._wanted = dict(folders)
            for version in self._versions.values():
                if version.state is not State.END:
                    version.wanted = version.number in folders
                elif version.number not in folders:
                    version.wanted = False  # if it comes back, it is loaded anew
            self._add_wanted()
        self._on_change()

    def begin_epoch(self) -> None:
        """Forgets for `outcome` what has become of the versions so far."""
        with self._lock:
            self._epoch += 1

    def outcome(self) -> Version | None:
        """The highest version of this epoch that is available or has failed, if there is one."""
        with self._lock:
            for _, version in sorted(self._versions.items(), reverse=True):
                decided = version.state in (State.AVAILABLE, State.END)
                if decided and version.epoch == self._epoch:
                    return version
        return None

    def next_load(self) -> Version | None:
        """The version to call `load` with now, if there is one; it will not be named twice."""
        now = time.monotonic()
        with self._lock:
            self._add_wanted()
            for _, version in sorted(self._versions.items(), reverse=True):
                if version.busy or version.state not in (State.START, State.LOADING):
                    continue
                if not version.wanted:
                    self._enter(version, State.END)
                elif now >= version.retry_at:
                    version.busy = True
                    return version
        return None

    def next_unload(self) -> Version | None:
        """The version to call `free` with now, if there is one; it will not be named twice."""
        with self._lock:
            while (version := self._superfluous()) is not None:
                del self._available[version.number]
                self._enter(version, State.UNLOADING)
            for version in self._versions.values():
                if version.state is State.UNLOADING and not version.leases and not version.busy:
                    version.busy = True
                    return version
        return None

    def retry_at(self) -> float | None:
        """When `next_load` has something again, on the monotonic clock; `None`: don't know."""
        with self._lock:
            times = [
                version.retry_at
                for version in self._versions.values()
                if version.state is State.LOADING and not version.busy
            ]
        return min(times, default=None)

    def failed(self) -> list[Version]:
        """Versions that are wanted and could not be loaded, whether they are tried again or not."""
        with self._lock:
            return [
                version
                for version in self._versions.values()
                if version.error is not None
                and version.wanted
                and not version.busy
                and version.state in (State.LOADING, State.END)
            ]

    def look_again(self, version: Version, files: object) -> None:
        """Has a version that `failed` has named be tried at once if its files have changed.

        While they go on changing, it is waited until they are the same at two looks.

        Args:
            version: the version.
            files: what its folder holds, comparable with `Version.tried`.
        """
        with self._lock:
            settled, version.seen = files == version.seen, files
            if not settled or files == version.tried or version.busy or not version.wanted:
                return
            version.failures, version.retry_at = 0, 0.0
            if version.state is State.END:
                self._enter(version, State.START)
        self._on_change()

    def load(self, version: Version, loader: Loader, retries: Retries) -> None:
        """Loads a version that `next_load` has named."""
        with self._lock:
            self._enter(version, State.LOADING)
        try:
            model = loader(version.folder)
        except Exception as error:
            self._failed(version, error, retries)
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
        """Frees a version that `next_unload` has named."""
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

    def lease(self, number: int | None = None) -> Lease:
        """An available version, by default the highest, and its model: safe to use inside.

            with servable.lease() as (number, model):
                model.run(...)

        Raises `errors.NotFound` if it is not available, `errors.Unavailable` after `refuse`.
        """
        with self._lock:
            self.asked += 1
            if self._refusing:
                raise errors.Unavailable("The server is stopping.")
            if number is None:
                version = next(iter(self._available.values()), None)
            else:
                version = self._available.get(number)
            if version is None or version.model is None:
                raise not_found(self.name, number)
            version.leases += 1
            return Lease(self, version, version.model)

    def is_ready(self, number: int | None = None) -> bool:
        """Return True if `lease` would give a version, or that one."""
        with self._lock:
            found = self._available if number is None else number in self._available
            return bool(found) and not self._refusing

    def refuse(self) -> None:
        """No more leases: who asks for one is told to ask another server."""
        with self._lock:
            self._refusing = True

    def _give_back(self, version: Version) -> None:
        with self._lock:
            version.leases -= 1
            last = version.state is State.UNLOADING and version.leases == 0
        if last:
            self._on_change()

    def _add_wanted(self) -> None:
        for number, folder in self._wanted.items():
            version = self._versions.get(number)
            if version is None or (version.state is State.END and not version.wanted):
                self._versions[number] = Version(number, folder, epoch=self._epoch)

    def _superfluous(self) -> Version | None:
        """The version that goes next, the lowest first; none if nothing else would serve."""
        wanted = [version for version in self._versions.values() if version.wanted]
        others = [version for version in self._available.values() if not version.wanted]
        serving = any(version.state is State.AVAILABLE for version in wanted)
        if others and (serving or not wanted or len(others) > 1):
            return min(others, key=lambda version: version.number)
        return None

    def _failed(self, version: Version, error: Exception, retries: Retries) -> None:
        expected = isinstance(error, errors.ServingError | ImportError)
        with self._lock:
            version.error = _for_clients(error)
            version.failures += 1
            again = version.wanted and version.failures <= retries.count
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
    """What the status of a version may say of a failed load: nothing of our own bugs."""
    if isinstance(error, errors.ServingError):
        return error
    if isinstance(error, ImportError):  # no TensorFlow wheel
        return errors.FailedPrecondition(str(error))
    return errors.Internal("The model cannot be loaded.")
