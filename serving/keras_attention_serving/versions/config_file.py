"""A configuration file that is polled for changes while the server runs."""

import logging
import threading

from keras_attention_serving import errors
from keras_attention_serving.protocol import text_proto, wire
from keras_attention_serving.versions.model_manager import ModelManager

logger = logging.getLogger(__name__)


class ConfigFile:
    """Applies the changes of a text file of `ModelServerConfig` to the models of a server.

    A file that cannot be read or applied is logged. The models stay as they are, and the file is
    tried again at the next poll.

    Args:
        path: the file.
        manager: the models.
        poll_wait_seconds: time between polls.
    """

    def __init__(self, path: str, manager: ModelManager, poll_wait_seconds: float) -> None:
        self._path = path
        self._manager = manager
        self._poll_wait_seconds = poll_wait_seconds
        self._broken: bytes | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="config file", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends polling."""
        self._stop.set()

    def _poll(self) -> None:
        complaint = ""
        while not self._stop.wait(self._poll_wait_seconds):
            try:
                self._look()
                complaint = ""
            except errors.ServingError as error:
                if error.message != complaint:  # each is logged once
                    logger.error("%s", error.message)
                complaint = error.message
            except Exception:  # the thread must live on
                logger.exception("%s cannot be put into effect.", self._path)

    def _look(self) -> None:
        content: bytes | None = None
        try:
            content = text_proto.load(self._path)
            if content == self._broken:
                return  # it has been logged already
            config = text_proto.decode(content, wire.ModelServerConfig, self._path)
        except errors.ServingError as error:
            self._broken = content
            raise type(error)(f"Failed to read ModelServerConfig file: {error.message}") from None
        self._broken = None
        if config == self._manager.config:
            return
        try:
            # Waits no longer than until the next poll: a model that does not load must not keep it
            # from reading a file that has been corrected meanwhile.
            self._manager.reload(config, self._poll_wait_seconds)
        except errors.DeadlineExceeded as error:
            logger.info("%s: %s", self._path, error.message)
        except errors.ServingError as error:
            raise type(error)(
                f"PollFilesystemAndReloadConfig failed to ReloadConfig: {error.message}"
            ) from None
