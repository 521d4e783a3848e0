"""Warm-up requests, which a model answers before it is available: its first user does not wait.

They are stored in the version folder, in `assets.extra/tf_serving_warmup_requests`: a TFRecord file
of at most 1000 `PredictionLog` messages. If one fails, the model is not served. The model and the
version that a request names are ignored.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from keras_attention_serving import errors
from keras_attention_serving.inference.classify import classify
from keras_attention_serving.inference.inference import Inference
from keras_attention_serving.inference.model import Model
from keras_attention_serving.inference.multi_inference import multi_inference
from keras_attention_serving.inference.predict import predict
from keras_attention_serving.inference.regress import regress
from keras_attention_serving.monitoring.metrics import NO_METRICS, Metrics
from keras_attention_serving.protocol import wire
from keras_attention_serving.versions import tfrecord

logger = logging.getLogger(__name__)

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000

# By kind of record: makes the inference of its request.
_METHODS: dict[str, Callable[[Model, int, Any], Inference]] = {
    "predict_log": predict,
    "classify_log": classify,
    "regress_log": regress,
    "multi_inference_log": multi_inference,
}


def replay(model: Model, folder: Path, iterations: int = 1, metrics: Metrics = NO_METRICS) -> int:
    """Runs the warm-up requests in a SavedModel's folder; returns their number.

    Args:
        model: the model in that folder.
        folder: a version folder.
        iterations: number of times to run each request.
        metrics: told of the warm-up, if there is one.

    Raises:
        errors.DataLoss: the file is not in TFRecord format.
        errors.InvalidArgument: it holds something else than `PredictionLog`, or too much of it.
        errors.ServingError: a request failed.
    """
    path = folder / FILE
    if not path.exists():
        logger.info("No warmup data file found at %s", path)
        return 0
    logger.info("Starting to read warmup data for model at %s", path)
    start = time.monotonic()
    count = code = 0
    try:
        for record in tfrecord.read(path):
            if count == MAX_RECORDS:
                raise errors.InvalidArgument(
                    f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}"
                )
            _replay_record(model, record, path, iterations)
            count += 1
    except OSError as error:
        code = errors.from_os_error(error, str(path)).code
        raise errors.from_os_error(error, str(path)) from None
    except errors.DataLoss as error:
        code = error.code
        raise errors.DataLoss(
            f"{error.message}. Please verify your warmup data is in TFRecord format."
        ) from None
    except errors.ServingError as error:
        code = error.code
        raise
    finally:
        metrics.warmup(str(folder), code, time.monotonic() - start, count)
    logger.info(
        "Finished reading warmup data for model at %s. Number of warmup records read: %d.",
        path,
        count,
    )
    return count


def _replay_record(model: Model, record: bytes, path: Path, iterations: int) -> None:
    try:
        log = wire.PredictionLog.FromString(record)
    except DecodeError:
        raise errors.InvalidArgument(f"Failed to parse warmup record from {path}") from None
    kind = log.WhichOneof("log_type")
    if kind not in _METHODS:
        raise errors.Unimplemented(f"Unsupported log_type for warmup: {kind}")
    for _ in range(iterations):
        _METHODS[kind](model, 0, getattr(log, kind).request).run(model)
