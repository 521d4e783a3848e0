"""All models of a server, kept up to date while it runs."""

import logging
import threading
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from keras_attention_serving import errors
from keras_attention_serving.servable import Loader, Servable, State, load

logger = logging.getLogger(__name__)


class Servables:
    """All models of a server, kept up to date by a thread of its own.

    Args:
        base_paths: folder of the version folders by the name of the model.
        loader: makes a model from a version folder.
    """

    def __init__(
        self, base_paths: Mapping[str, str | PathLike[str]], loader: Loader = load
    ) -> None:
        self._servables = {
            name: Servable(name, Path(path), loader) for name, path in base_paths.items()
        }
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, poll_wait_seconds: float = 1.0) -> None:
        """Loads every model, then looks for new versions every so many seconds (0: never).

        Raises `errors.StartError` if a model has no version that can be served.
        """
        for servable in self._servables.values():
            self._start_one(servable)
        if poll_wait_seconds > 0:
            self._thread = threading.Thread(
                target=self._poll, args=(poll_wait_seconds,), name="servables", daemon=True
            )
            self._thread.start()

    def get(self, name: str) -> Servable | None:
        """The model of that name, if there is one."""
        return self._servables.get(name)

    def available(self) -> list[tuple[str, int]]:
        """Name and version of all that is served."""
        return [
            (servable.name, version.number)
            for servable in self._servables.values()
            for version in servable.versions(State.AVAILABLE)
        ]

    def close(self) -> None:
        """Ends the thread and unloads everything."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for servable in self._servables.values():
            servable.close()

    def _start_one(self, servable: Servable) -> None:
        try:
            servable.refresh()
        except OSError as error:
            raise errors.StartError(
                f"Expected a folder of versions for model {servable.name!r}. "
                f"Received: base_path={servable.base_path} ({error.strerror})"
            ) from None
        if servable.versions(State.AVAILABLE):
            return
        failed = servable.versions()
        if not failed:
            raise errors.StartError(
                f"Expected a version of model {servable.name!r}: a folder with a number for a "
                f"name. Received: base_path={servable.base_path} without one"
            )
        reasons = "".join(
            f"{{{{name: {servable.name} version: {version.number}}} "
            f"due to error: {version.error}}}, "
            for version in failed
        )
        raise errors.StartError(
            f"{len(failed)} servable(s) did not become available: {{{reasons}}}"
        )

    def _poll(self, wait_seconds: float) -> None:
        complaints: dict[str, str] = {}
        while not self._stop.wait(wait_seconds):
            for name, servable in self._servables.items():
                complaint = ""
                try:
                    servable.refresh()
                except Exception as error:  # the thread must live on
                    complaint = f"{servable.base_path}: {error}"
                if complaint and complaint != complaints.get(name):
                    logger.error("%s cannot be refreshed: %s", name, complaint)
                complaints[name] = complaint
