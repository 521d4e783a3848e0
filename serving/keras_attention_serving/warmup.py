"""Requests that a model answers before it is available, so that the first user does not wait.

They lie beside the model as `assets.extra/tf_serving_warmup_requests`: a TFRecord file of
`PredictionLog` messages, at most 1000. One that fails keeps the model from being served.
"""

import logging
from pathlib import Path

from google.protobuf.message import DecodeError

from keras_attention_serving import errors, tfrecord, wire
from keras_attention_serving.predict import predict
from keras_attention_serving.runtime import SavedModel

logger = logging.getLogger(__name__)

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000


def replay(model: SavedModel, folder: Path) -> int:
    """Answers the warm-up requests in a SavedModel's folder; returns how many there were.

    Raises:
        errors.DataLoss: the file is not in TFRecord format.
        errors.InvalidArgument: it holds something else than `PredictionLog`, or too much of it.
        errors.ServingError: a request failed.
    """
    path = folder / FILE
    if not path.exists():
        return 0
    count = 0
    try:
        for record in tfrecord.read(path):
            count += 1
            if count > MAX_RECORDS:
                raise errors.InvalidArgument(
                    f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}"
                )
            _answer(model, record, path)
    except errors.DataLoss as error:
        raise errors.DataLoss(
            f"{error.message}. Please verify your warmup data is in TFRecord format."
        ) from None
    logger.info("%s: %d warm-up requests answered", folder, count)
    return count


def _answer(model: SavedModel, record: bytes, path: Path) -> None:
    try:
        log = wire.PredictionLog.FromString(record)
    except DecodeError:
        raise errors.InvalidArgument(f"Failed to parse warmup record from {path}") from None
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        predict(model, 0, log.predict_log.request)
    elif kind in ("classify_log", "regress_log", "multi_inference_log"):
        logger.warning("%s: a %s is skipped, its method is not served here", path, kind)
    else:
        raise errors.Unimplemented(f"Unsupported log_type for warmup: {kind}")
