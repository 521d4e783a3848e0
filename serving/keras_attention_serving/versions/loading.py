"""Loading of a version folder: a model that is warmed up and ready for its first user."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from keras_attention_serving.inference.model import LoadedModel
from keras_attention_serving.monitoring.metrics import NO_METRICS, Metrics
from keras_attention_serving.runtime import parallelism, tflite
from keras_attention_serving.runtime.saved_model import SavedModel
from keras_attention_serving.versions import warmup

logger = logging.getLogger(__name__)


class SavedModelLoader:
    """Loads SavedModels and warms them up with the requests in their folders.

    Args:
        tags: tags of the graph to load.
        config: a serialized `tensorflow.ConfigProto`.
        max_run_seconds: the longest that a run may take once the model is loaded and warmed up,
            whose first runs may take longer; no limit by default.
        enable_warmup: run the warm-up requests.
        warmup_iterations: number of times to run each of them; 0 means 1.
        prepare: called with a model and its folder before the warm-up; if it raises, the model is
            not loaded.
        prefer_tflite: load `model.tflite` if there is one.
        tflite_interpreters: number of runs of such a model at a time.
        metrics: is told of every load and warm-up.
    """

    def __init__(
        self,
        *,
        tags: Sequence[str] = ("serve",),
        config: bytes | None = None,
        max_run_seconds: float | None = None,
        enable_warmup: bool = True,
        warmup_iterations: int = 0,
        prepare: Callable[[LoadedModel, Path], None] | None = None,
        prefer_tflite: bool = False,
        tflite_interpreters: int = 1,
        metrics: Metrics = NO_METRICS,
    ) -> None:
        self._tags = tags
        self._config = config
        self._max_run_seconds = max_run_seconds
        self._enable_warmup = enable_warmup
        self._warmup_iterations = max(1, warmup_iterations)
        self._prepare = prepare
        self._prefer_tflite = prefer_tflite
        self._tflite_interpreters = tflite_interpreters
        self._metrics = metrics

    def __call__(self, folder: Path) -> LoadedModel:
        """Loads the model in a version folder.

        Raises `errors.ServingError` if it cannot be loaded, or a warm-up request fails.
        """
        model = self._load(folder)
        try:
            if self._prepare is not None:
                self._prepare(model, folder)
            if self._enable_warmup:
                warmup.replay(model, folder, self._warmup_iterations, self._metrics)
        except BaseException:
            model.close()
            raise
        if isinstance(model, SavedModel):
            model.max_seconds = self._max_run_seconds
        return model

    def _load(self, folder: Path) -> LoadedModel:
        start = time.monotonic()
        loaded = False
        try:
            model: LoadedModel
            lite = folder / tflite.FILE
            if self._prefer_tflite and lite.exists():
                model = tflite.TfLiteModel(lite, self._tflite_interpreters)
            else:
                model = parallelism.load(
                    folder,
                    self._config,
                    lambda config: SavedModel(folder, tags=self._tags, config=config),
                )
            loaded = True
        finally:
            seconds = time.monotonic() - start
            self._metrics.load(str(folder), loaded, seconds)
        logger.info(
            "SavedModel load for tags { %s }; Took %.0f ms.", " ".join(self._tags), 1000 * seconds
        )
        return model
