"""Requests that a server runs before it calls a version available."""

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2


def write(folder, name, texts):
    """Writes one request of one text each to `assets.extra/tf_serving_warmup_requests`.

    Args:
        folder: `pathlib.Path` of the version.
        name: name of the model.
        texts: inputs for `serving_default`.
    """
    extra = folder / "assets.extra"
    extra.mkdir()
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        for text in texts:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = "serving_default"
            request.inputs["text"].CopyFrom(tf.make_tensor_proto([text], dtype=tf.string))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())
