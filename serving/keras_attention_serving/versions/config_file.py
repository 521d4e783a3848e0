"""A configuration file that is read again and again while the server runs."""

import logging
import threading

from keras_attention_serving import errors
from keras_attention_serving.protocol import text_proto, wire
from keras_attention_serving.versions.model_manager import ModelManager

logger = logging.getLogger(__name__)


class ConfigFile:
    """Keeps the models of a server as a text file of `ModelServerConfig` says.

    A file that cannot be read or put into effect is logged; what was served before stays, and the
    file is tried again at the next look.

    Args:
        path: the file.
        servables: the models.
        poll_wait_seconds: time between looks.
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
        """No more looks."""
        self._stop.set()

    def _poll(self) -> None:
        complaint = ""
        while not self._stop.wait(self._poll_wait_seconds):
            try:
                self._look()
                complaint = ""
            except errors.ServingError as error:
                if error.message != complaint:  # each is said once
                    logger.error("%s", error.message)
                complaint = error.message
            except Exception:  # the thread must live on
                logger.exception("%s cannot be put into effect.", self._path)

    def _look(self) -> None:
        content: bytes | None = None
        try:
            content = text_proto.load(self._path)
            if content == self._broken:
                return  # the log knows it already
            config = text_proto.decode(content, wire.ModelServerConfig, self._path)
        except errors.ServingError as error:
            self._broken = content
            raise type(error)(f"Failed to read ModelServerConfig file: {error.message}") from None
        self._broken = None
        if config == self._manager.config:
            return
        try:
            # No longer than to the next look: a model that does not come must not keep the server
            # from a file that has been corrected meanwhile.
            self._manager.reload(config, self._poll_wait_seconds)
        except errors.DeadlineExceeded as error:
            logger.info("%s: %s", self._path, error.message)
        except errors.ServingError as error:
            raise type(error)(
                f"PollFilesystemAndReloadConfig failed to ReloadConfig: {error.message}"
            ) from None
