"""Manager of the models of a server: it follows their configuration and their folders.

It has three kinds of threads: one polls the folders, one decides what to load and unload, and a few
do it. A model that takes long to load, or that fails and is tried again, does not delay the others.
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
from keras_attention_serving.protocol import wire
from keras_attention_serving.versions import folders, model_config
from keras_attention_serving.versions.labels import Labels
from keras_attention_serving.versions.model_config import ModelConfig
from keras_attention_serving.versions.model_versions import (
    DEFAULT_RETRIES,
    Loader,
    ModelVersions,
    Retries,
    State,
    Version,
)

logger = logging.getLogger(__name__)

QUIET_SECONDS = 0.02  # without a call in this time, no client is thought to be active
DRAIN_SECONDS = 0.25


class ModelManager:
    """Manager of all models of a server.

    Args:
        loader: loads a model from a version folder.
        load_threads: number of versions that may be loaded at a time after the start; 0 means 1.
        unload_threads: number of versions that may be unloaded at a time; 0 means 1.
        retries: attempts to load a version that fails.
        poll_wait_seconds: time between polls of the folders; 0: poll once; negative: never.
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
        self._config: wire.ModelServerConfig | None = None
        self._model_configs: Sequence[ModelConfig] = ()
        self._models: dict[str, ModelVersions] = {}
        self._complaints: set[str] = set()
        self._draining = False
        self._watchers: list[Callable[[], None]] = []

        self._reloading = threading.Lock()  # held while a configuration is applied
        self._reloads = 0
        self._awaited: list[ModelVersions] = []  # models that the last reload waits for
        self._polling = threading.Lock()  # held from reading the configuration to applying the poll
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

    def start(self, config: wire.ModelServerConfig, patient: bool = True) -> None:
        """Loads the models of a `ModelServerConfig`, then keeps polling for new versions.

        Args:
            config: the models to serve.
            patient: wait for folders and versions that do not exist yet, and retry failed loads.
                Otherwise each of these is an error at once.

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
            self._start_thread(self._poll_forever, "poll")
        elif self._poll_wait_seconds == 0:
            self._poll_folders()
        self._wait_for(new, "servable(s)", None)
        self._retries = retries
        with self._pools_in_use:
            self._pools["load"].shutdown(wait=False)  # loads that have begun are finished
            self._pools["load"] = ThreadPoolExecutor(self._load_threads, "load")

    def reload(
        self,
        config: wire.ModelServerConfig,
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> None:
        """Serves the models of another `ModelServerConfig` from now on.

        Returns when every new model has an available version. Models that are not in the
        configuration are unloaded. An empty configuration changes nothing. A later reload replaces
        this one, even while it waits for its models, and waits for those models that it keeps.

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
                self._poll_folders()
            names = {model.name for model in self._model_configs}
            new += [
                model
                for model in self._awaited
                if model not in new and model.name in names and not model.load_result()
            ]
            self._awaited = new
            self._reloads = number = self._reloads + 1
        finally:
            self._reloading.release()
        self._notify()  # ends the reload that this one replaces

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
    def config(self) -> wire.ModelServerConfig | None:
        """The `ModelServerConfig` in effect; None before there is one."""
        return self._config

    def get(self, name: str) -> ModelVersions | None:
        """The versions of a model; None if there has never been one of that name."""
        return self._models.get(name)

    def names(self) -> list[str]:
        """The names of the models of the configuration, in order."""
        return sorted(model.name for model in self._model_configs)

    def is_ready(self) -> bool:
        """True if every model of the configuration has an available version.

        False once `drain` has been called, so that load balancers send calls elsewhere.
        """
        models = [self._models.get(name) for name in self.names()]
        return not self._draining and all(
            model is not None and model.is_ready() for model in models
        )

    def version_for_label(self, name: str, label: str) -> int:
        """The number that a label stands for; raises `errors.InvalidArgument` if it is unknown."""
        return self._labels.version(name, label)

    def available(self) -> list[tuple[str, int]]:
        """Name and number of all available versions."""
        return self._in_states(State.AVAILABLE)

    def loaded(self) -> list[tuple[str, int]]:
        """Name and number of all versions in memory."""
        return self._in_states(State.AVAILABLE, State.UNLOADING)

    def watch(self, changed: Callable[[], None]) -> None:
        """Calls `changed`, in some thread, whenever `is_ready` may have changed."""
        self._watchers.append(changed)

    def drain(self) -> None:
        """Refuses calls from now on, so that clients make them elsewhere.

        A connection that is closed under load does not tell its client which calls were answered.
        So, if clients are active, this waits for the calls that came before it, and then refuses
        calls for a moment, in which the clients can learn of it.
        """
        self._draining = True
        self._notify()
        if not self._is_busy():
            return
        time.sleep(DRAIN_SECONDS)
        for model in list(self._models.values()):
            model.refuse()
        time.sleep(DRAIN_SECONDS)

    def close(self) -> None:
        """Ends the threads and unloads everything; a version in use, when its last call ends."""
        self._stop.set()
        self._notify()
        for thread in self._threads:
            thread.join()
        with self._pools_in_use:
            self._closed = True
        for pool in self._pools.values():
            pool.shutdown(cancel_futures=True)
        for model in list(self._models.values()):
            model.set_aspired_versions({})  # also frees versions that are not in use

    def _is_busy(self) -> bool:
        models = list(self._models.values())
        before = [model.num_requests for model in models]
        time.sleep(QUIET_SECONDS)
        return before != [model.num_requests for model in models]

    def _in_states(self, *states: State) -> list[tuple[str, int]]:
        return [
            (model.name, version.number)
            for model in list(self._models.values())
            for version in model.versions()
            if version.state in states
        ]

    def _apply(self, config: wire.ModelServerConfig) -> list[ModelVersions]:
        """Applies a configuration; returns the models that are new."""
        kind = config.WhichOneof("config")
        if self._config is not None and kind != "model_config_list":
            raise errors.FailedPrecondition(
                "Cannot transition to requested config. It is only legal to transition from one "
                "ModelConfigList to another."
            )
        if kind is None:
            logger.info("Taking no action for empty config.")
            return []
        configs = model_config.models_in(config)
        model_config.check_platforms(self._model_configs, configs)
        self._labels.assign(configs, self._is_available, self._allow_labels_for_unavailable)
        model_config.check_supported(configs)
        logger.info("Adding/updating models.")
        with self._polling:
            names_before = set(self.names())
            self._model_configs, self._config = configs, config
            for name in names_before.difference(self.names()):
                self._models[name].set_aspired_versions({})
            new = []
            for name in [model.name for model in configs]:
                logger.info(" (Re-)adding model: %s", name)
                if name not in names_before:
                    model = self._models.setdefault(name, ModelVersions(name, self._notify))
                    model.forget_load_results()
                    new.append(model)
        return new

    def _is_available(self, name: str, number: int) -> bool:
        model = self._models.get(name)
        versions = model.versions(State.AVAILABLE) if model else []
        return any(version.number == number for version in versions)

    def _wait_for(
        self,
        models: Sequence[ModelVersions],
        noun: str,
        until: float | None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        def is_decided() -> bool:
            done = self._stop.is_set() or all(model.load_result() for model in models)
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
        outcomes = [(model.name, model.load_result()) for model in models]
        failed = [
            (name, version)
            for name, version in outcomes
            if version is not None and version.state is State.END
        ]
        if failed:
            reasons = "".join(f"{{{_described(*item)}}}, " for item in failed)
            raise errors.Unknown(f"{len(failed)} {noun} did not become available: {{{reasons}}}")

    # Polling the folders.

    def _poll_forever(self) -> None:
        while True:
            try:
                self._poll_folders()
            except Exception:  # the thread must live on
                logger.exception("The folders of the models cannot be looked at.")
            if self._stop.wait(self._poll_wait_seconds):
                return

    def _poll_folders(self) -> None:
        """Sets the aspired versions from the folders; changes nothing if a base path is missing."""
        with self._polling:
            aspired, complaints = folders.aspired_versions(self._model_configs)
            for complaint in sorted(complaints - self._complaints):  # each is logged once
                logger.error("%s", complaint)
            self._complaints = complaints
            for name, versions in aspired.items():
                model = self._models[name]
                model.set_aspired_versions(versions)
                for version in model.failed():
                    model.retry_if_changed(version, folders.fingerprint(version.folder))

    # Loading and unloading.

    def _manage(self) -> None:
        while not self._stop.is_set():
            seen = self._changes
            models = list(self._models.values())
            for model in models:
                try:
                    self._take_steps(model)
                except Exception:  # the thread must live on
                    logger.exception("%s cannot be kept up to date.", model.name)
            for changed in self._watchers:
                changed()
            times = [at for model in models if (at := model.retry_at()) is not None]
            with self._changed:
                if self._changes == seen:
                    self._changed.wait(max(0.0, min(times) - time.monotonic()) if times else None)

    def _take_steps(self, model: ModelVersions) -> None:
        while (version := model.next_unload()) is not None:
            self._submit("unload", model.free, version)
        while (version := model.next_load()) is not None:
            self._submit("load", self._load, model, version)

    def _load(self, model: ModelVersions, version: Version) -> None:
        version.tried_files, version.seen_files = folders.fingerprint(version.folder), None
        model.load(version, self._loader, self._retries)

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
        if self._closed:  # no thread takes steps any more: the last user of a version frees it
            for model in list(self._models.values()):
                self._take_steps(model)

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
