"""All models of a server, kept as their configuration and their folders say while it runs.

Three kinds of threads: one looks at the folders, one decides what to load and unload, and a few do
it. A model that takes long to load, or that fails and is tried again, does not hold up the others.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from keras_attention_serving import errors
from keras_attention_serving.concurrency.cancellation import Cancellation
from keras_attention_serving.concurrency.processors import processors
from keras_attention_serving.versions import folders, model_config
from keras_attention_serving.versions.labels import Labels
from keras_attention_serving.versions.model_config import ModelConfig
from keras_attention_serving.versions.model_versions import (
    DEFAULT_RETRIES,
    Loader,
    Retries,
    Servable,
    State,
    Version,
)

logger = logging.getLogger(__name__)

QUIET_SECONDS = 0.02  # without a call, nobody is thought to be calling
DRAIN_SECONDS = 0.25


class Servables:
    """All models of a server.

    Args:
        loader: makes a model from a version folder.
        load_threads: how many versions may be loaded at a time after the start; 0 means 1.
        unload_threads: how many may be unloaded at a time; 0 means 1.
        retries: what to do with a version that cannot be loaded.
        poll_wait_seconds: time between looks at the folders; 0: look once; negative: never.
        allow_labels_for_unavailable: see `Labels.assign`.
    """

    def __init__(
        self,
        loader: Loader,
        *,
        load_threads: int = 0,
        unload_threads: int = 0,
        retries: Retries = DEFAULT_RETRIES,
        poll_wait_seconds: float = 1.0,
        allow_labels_for_unavailable: bool = False,
    ) -> None:
        self._loader = loader
        self._load_threads = max(1, load_threads)
        self._retries = retries
        self._poll_wait_seconds = poll_wait_seconds
        self._allow_labels_for_unavailable = allow_labels_for_unavailable
        self._labels = Labels()
        self._config: Any = None
        self._models: Sequence[ModelConfig] = ()
        self._servables: dict[str, Servable] = {}
        self._complaints: set[str] = set()
        self._draining = False
        self._watchers: list[Callable[[], None]] = []

        self._reloading = threading.Lock()  # held while a configuration is put into effect
        self._reloads = 0
        self._awaited: list[Servable] = []  # by the last reload
        self._looking = threading.Lock()  # a look at the folders, with the models it is made for
        self._changed = threading.Condition()
        self._changes = 0
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._pools_in_use = threading.Lock()
        self._pools = {
            "load": ThreadPoolExecutor(4 * processors(), "load"),  # for the start alone
            "unload": ThreadPoolExecutor(max(1, unload_threads), "unload"),
        }

    def start(self, config: Any, patient: bool = True) -> None:
        """Loads the models of a `ModelServerConfig`, then keeps looking for new versions.

        Args:
            config: what to serve.
            patient: wait for folders and versions that are not there yet, and try again to load
                what failed. Otherwise all that is an error at once.

        Raises:
            errors.StartError: if not `patient`: a base path is missing or holds no version.
            errors.ServingError: the configuration is wrong, or a model cannot be loaded.
        """
        retries = self._retries
        if not patient:
            folders.check(model_config.models_in(config))
            self._retries = Retries(0)
        self._start_thread(self._manage, "manager")
        new = self._apply(config)
        if self._poll_wait_seconds > 0:
            self._start_thread(self._poll, "poll")
        elif self._poll_wait_seconds == 0:
            self._look()
        self._wait_for(new, "servable(s)", None)
        self._retries = retries
        with self._pools_in_use:
            self._pools["load"].shutdown(wait=False)  # what it has begun is finished
            self._pools["load"] = ThreadPoolExecutor(self._load_threads, "load")

    def reload(
        self,
        config: Any,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> None:
        """Serves the models of another `ModelServerConfig` from now on.

        Returns when every new model has an available version. Models that are gone from the
        configuration are unloaded. A configuration without anything in it changes nothing. Another
        one replaces it, also while its models are waited for, and waits for those that it keeps.

        Raises:
            errors.ServingError: the configuration is wrong, and nothing has changed; or a new
                model cannot be loaded (`Unknown`).
            errors.DeadlineExceeded: the new models were not there within `timeout` seconds; the
                configuration is in effect.
            errors.Aborted: another configuration has replaced it.
            errors.Cancelled: the caller has left; the configuration is in effect.
        """
        until = None if timeout is None else time.monotonic() + timeout
        if not self._reloading.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            raise errors.DeadlineExceeded("Another configuration is still being loaded.")
        try:
            new = self._apply(config)
            if config.WhichOneof("config") is None:
                return
            if new and self._poll_wait_seconds >= 0:
                self._look()
            names = {model.name for model in self._models}
            new += [
                servable
                for servable in self._awaited
                if servable not in new and servable.name in names and not servable.outcome()
            ]
            self._awaited = new
            self._reloads = number = self._reloads + 1
        finally:
            self._reloading.release()
        self._notify()  # who waits for the configuration before

        def check() -> None:
            if cancellation is not None and cancellation.cancelled:
                raise errors.Cancelled("The client has left.")
            if self._reloads != number:
                raise errors.Aborted("Another configuration has replaced this one.")

        if cancellation is not None:
            cancellation.watch(self._notify)
        try:
            self._wait_for(new, "model(s)", until, check)
        finally:
            if cancellation is not None:
                cancellation.watch(None)
        logger.info("Finished adding/updating models")

    @property
    def config(self) -> Any:
        """The `ModelServerConfig` in effect; `None` before there is one."""
        return self._config

    def get(self, name: str) -> Servable | None:
        """The model of that name, if there is or has been one."""
        return self._servables.get(name)

    def names(self) -> list[str]:
        """The names of the models of the configuration, in order."""
        return sorted(model.name for model in self._models)

    def is_ready(self) -> bool:
        """Return True if every model of the configuration has a version that can be used.

        No more once `drain` has been called: who asks is to send calls elsewhere.
        """
        servables = [self._servables.get(name) for name in self.names()]
        return not self._draining and all(
            servable is not None and servable.is_ready() for servable in servables
        )

    def version_for_label(self, name: str, label: str) -> int:
        """The version that a label means; raises `errors.InvalidArgument` if there is none."""
        return self._labels.version(name, label)

    def available(self) -> list[tuple[str, int]]:
        """Name and version of all that is served."""
        return self._in_states(State.AVAILABLE)

    def loaded(self) -> list[tuple[str, int]]:
        """Name and version of all that is in memory."""
        return self._in_states(State.AVAILABLE, State.UNLOADING)

    def watch(self, changed: Callable[[], None]) -> None:
        """Has `changed` be called, in some thread, whenever `is_ready` may have changed."""
        self._watchers.append(changed)

    def drain(self) -> None:
        """Sends calls away that come from now on, so that they are made elsewhere.

        Who closes a connection under load cannot say which of the calls on it have been answered.
        So, if there are calls, those that may have come before this one are waited for; later ones
        are refused for a moment, in which their clients can learn of it.
        """
        self._draining = True
        self._notify()
        if not self._is_busy():
            return
        time.sleep(DRAIN_SECONDS)
        for servable in list(self._servables.values()):
            servable.refuse()
        time.sleep(DRAIN_SECONDS)

    def close(self) -> None:
        """Ends the threads and unloads everything; a version in use goes when it is no longer."""
        self._stop.set()
        self._notify()
        for thread in self._threads:
            thread.join()
        with self._pools_in_use:
            self._closed = True
        for pool in self._pools.values():
            pool.shutdown(cancel_futures=True)
        for servable in list(self._servables.values()):
            servable.want({})  # and frees what is not in use

    def _is_busy(self) -> bool:
        servables = list(self._servables.values())
        asked = [servable.asked for servable in servables]
        time.sleep(QUIET_SECONDS)
        return asked != [servable.asked for servable in servables]

    def _in_states(self, *states: State) -> list[tuple[str, int]]:
        return [
            (servable.name, version.number)
            for servable in list(self._servables.values())
            for version in servable.versions()
            if version.state in states
        ]

    def _apply(self, config: Any) -> list[Servable]:
        """Puts a configuration into effect; returns the models that are new."""
        kind = config.WhichOneof("config")
        if self._config is not None and kind != "model_config_list":
            raise errors.FailedPrecondition(
                "Cannot transition to requested config. It is only legal to transition from one "
                "ModelConfigList to another."
            )
        if kind is None:
            logger.info("Taking no action for empty config.")
            return []
        models = model_config.models_in(config)
        model_config.check_platforms(self._models, models)
        self._labels.assign(models, self._is_available, self._allow_labels_for_unavailable)
        model_config.check_supported(models)
        logger.info("Adding/updating models.")
        with self._looking:
            before = {model.name for model in self._models}
            self._models, self._config = models, config
            for name in before.difference(model.name for model in models):
                self._servables[name].want({})
            new = []
            for model in models:
                logger.info(" (Re-)adding model: %s", model.name)
                if model.name not in before:
                    servable = self._servables.setdefault(
                        model.name, Servable(model.name, self._notify)
                    )
                    servable.begin_epoch()
                    new.append(servable)
        return new

    def _is_available(self, name: str, number: int) -> bool:
        servable = self._servables.get(name)
        versions = servable.versions(State.AVAILABLE) if servable else []
        return any(version.number == number for version in versions)

    def _wait_for(
        self,
        models: Sequence[Servable],
        what: str,
        until: float | None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        def is_decided() -> bool:
            done = self._stop.is_set() or all(model.outcome() for model in models)
            if not done:
                check()
            return done

        with self._changed:
            decided = self._changed.wait_for(
                is_decided,
                None if until is None else max(0.0, until - time.monotonic()),
            )
        if not decided:
            raise errors.DeadlineExceeded("The new models are still being loaded.")
        outcomes = [(model.name, model.outcome()) for model in models]
        failed = [
            (name, version)
            for name, version in outcomes
            if version is not None and version.state is State.END
        ]
        if failed:
            reasons = "".join(f"{{{_described(*item)}}}, " for item in failed)
            raise errors.Unknown(f"{len(failed)} {what} did not become available: {{{reasons}}}")

    # Looking at the folders.

    def _poll(self) -> None:
        while True:
            try:
                self._look()
            except Exception:  # the thread must live on
                logger.exception("The folders of the models cannot be looked at.")
            if self._stop.wait(self._poll_wait_seconds):
                return

    def _look(self) -> None:
        """Compares all folders with what is wanted; if one is missing, nothing changes."""
        with self._looking:
            wanted, complaints = folders.look(self._models)
            for complaint in sorted(complaints - self._complaints):  # each is said once
                logger.error("%s", complaint)
            self._complaints = complaints
            for name, chosen in wanted.items():
                servable = self._servables[name]
                servable.want(chosen)
                for version in servable.failed():
                    servable.look_again(version, folders.fingerprint(version.folder))

    # Loading and unloading.

    def _manage(self) -> None:
        while not self._stop.is_set():
            seen = self._changes
            servables = list(self._servables.values())
            for servable in servables:
                try:
                    self._act(servable)
                except Exception:  # the thread must live on
                    logger.exception("%s cannot be kept up to date.", servable.name)
            for changed in self._watchers:
                changed()
            times = [at for servable in servables if (at := servable.retry_at()) is not None]
            with self._changed:
                if self._changes == seen:
                    self._changed.wait(max(0.0, min(times) - time.monotonic()) if times else None)

    def _act(self, servable: Servable) -> None:
        while (version := servable.next_unload()) is not None:
            self._submit("unload", servable.free, version)
        while (version := servable.next_load()) is not None:
            self._submit("load", self._load, servable, version)

    def _load(self, servable: Servable, version: Version) -> None:
        version.tried, version.seen = folders.fingerprint(version.folder), None
        servable.load(version, self._loader, self._retries)

    def _submit(self, kind: str, step: Callable[..., None], *args: Any) -> None:
        with self._pools_in_use:
            if not self._closed:
                future: Future[None] = self._pools[kind].submit(step, *args)
                future.add_done_callback(_log_failure)
                return
        step(*args)

    def _notify(self) -> None:
        with self._changed:
            self._changes += 1
            self._changed.notify_all()
        if self._closed:  # there is no manager any more: whoever gives a version back frees it
            for servable in list(self._servables.values()):
                self._act(servable)

    def _start_thread(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()


def _described(name: str, version: Version) -> str:
    reason = f" due to error: {errors.status_text(version.error)}" if version.error else ""
    return f"{{name: {name} version: {version.number}}}{reason}"


def _log_failure(future: "Future[None]") -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        logger.error("A model could not be loaded or unloaded.", exc_info=error)
