"""Choice of the number of threads in which a model computes one operation, by measurement.

TensorFlow uses one per processor. For the small steps of a loop, handing a part of each to another
thread and waiting for it takes longer than computing it, and takes processors from other requests.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from keras_attention_serving import errors
from keras_attention_serving.concurrency.processors import processors
from keras_attention_serving.protocol import wire
from keras_attention_serving.runtime.saved_model import SavedModel
from keras_attention_serving.runtime.trial_runs import Trial

logger = logging.getLogger(__name__)

MAX_BYTES = 1 << 28  # of the variables, which are in memory twice during the measurement
LONGEST = 0.1  # seconds of a run; longer ones are not measured
ROUNDS, RUNS = 4, 3
# More threads have to be faster by this factor, because they leave less to other requests.
WORTH_IT = 1.1

Load = Callable[[bytes], SavedModel]


def load(folder: Path, config: bytes | None, saved_model: Load) -> SavedModel:
    """Loads the model in a folder, with a number of threads that is measured unless it is set.

    Args:
        folder: the version folder.
        config: a serialized `ConfigProto`; `intra_op_parallelism_threads` in it sets the number.
        saved_model: loads the model with such a configuration.
    """
    settings = wire.ConfigProto.FromString(config or b"")
    # An operation of one model that waits must not delay other models.
    settings.use_per_session_threads = True
    model = saved_model(settings.SerializeToString())
    variables = sum(path.stat().st_size for path in (folder / "variables").glob("*"))
    if settings.intra_op_parallelism_threads or processors() < 2 or variables > MAX_BYTES:
        return model
    first = _seconds([model], model.trial, 1) if model.trial is not None else None
    if model.trial is None or first is None or first[0] > LONGEST:
        return model
    settings.intra_op_parallelism_threads = 1
    try:
        other = saved_model(settings.SerializeToString())
    except errors.ServingError:
        return model
    seconds = _seconds([model, other], model.trial, ROUNDS)
    with_many, with_one = seconds or (0.0, 1.0)
    use_one = with_one <= WORTH_IT * with_many
    chosen, rejected = (other, model) if use_one else (model, other)
    logger.info(
        "%s: %s for one operation (one row: %.2g ms with 1, %.2g ms with %d)",
        folder,
        "1 thread" if chosen is other else f"{processors()} threads",
        1e3 * with_one,
        1e3 * with_many,
        processors(),
    )
    rejected.close()
    return chosen


def _seconds(models: list[SavedModel], run: Trial, rounds: int) -> list[float] | None:
    """Measures the seconds of a run with each of some models, in turns; None if it fails."""
    seconds: list[list[float]] = [[] for _ in models]
    try:
        for _ in range(rounds):
            for model, times in zip(models, seconds, strict=True):
                for _ in range(RUNS):
                    start = time.perf_counter()
                    model.run(run.feeds, run.fetches, 10 * LONGEST)
                    times.append(time.perf_counter() - start)
    except errors.ServingError:
        return None
    # A quantile and not the mean: the first runs are slow, and other models may be loading.
    return [sorted(times)[len(times) // 4] for times in seconds]
