"""Requests that a server runs before it calls a version available."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from keras_attention._types import Shape
from keras_attention.text import Tokenizer

MOST = 1000  # records that a server takes
STEPS = 8  # where a model leaves a size open
UNKNOWN_ID = 1


def text_examples(texts: Any, source_tokenizer: Tokenizer, target_tokenizer: Tokenizer) -> Any:
    """Inputs of all signatures of a text model: one for each of `texts`.

    Args:
        texts: list of strings; True for one made of the vocabulary.
        source_tokenizer: a `keras_attention.text.Tokenizer`.
        target_tokenizer: a `keras_attention.text.Tokenizer`, of whose vocabulary the target is.
    """
    texts = [_any_text(source_tokenizer)] if texts is True else texts
    examples = []
    for text in texts:
        ids, lengths = source_tokenizer.tokenize(tf.constant([text]))
        examples.append(
            {
                "text": np.array([text.encode() if isinstance(text, str) else text], object),
                "target": np.array([_any_text(target_tokenizer)], object),
                "ids": ids.numpy(),
                "lengths": lengths.numpy(),
            }
        )
    return examples


def array_examples(
    examples: Any, inputs: Sequence[tf.TensorSpec], answer: Callable[..., Any]
) -> Any:
    """Inputs of a model that takes arrays, checked: a server does not load what it cannot warm up.

    Args:
        examples: list of dictionaries of arrays, batch first; True for ones.
        inputs: what the model takes: names, shapes and dtypes.
        answer: function of a dictionary of tensors that the server will call.

    Raises:
        ValueError: other inputs than the model's, or such that it cannot answer.
    """
    dtypes = {x.name: _numpy_dtype(x.dtype) for x in inputs}
    if examples is True:
        examples = [{x.name: _ones(x.shape, dtypes[x.name]) for x in inputs}]
    found = []
    for example in examples:
        if not isinstance(example, dict) or set(example) != set(dtypes):
            raise ValueError(
                f"Expected warmup dictionaries of {', '.join(sorted(dtypes))}. "
                f"Received: {sorted(example) if isinstance(example, dict) else example!r}"
            )
        arrays = {name: np.asarray(value, dtypes[name]) for name, value in example.items()}
        shapes = {name: value.shape for name, value in arrays.items()}
        if any(not shape or shape[0] == 0 for shape in shapes.values()):
            raise ValueError(f"Expected warmup arrays with examples. Received: shapes {shapes}")
        try:
            answer({name: tf.constant(value) for name, value in arrays.items()})
        except Exception as error:  # of whatever layers the model has
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"Expected warmup inputs that the model answers. Received: shapes {shapes}; it "
                f"says: {reason}"
            ) from error
        found.append(arrays)
    return found


def _numpy_dtype(dtype: Any) -> Any:
    return object if dtype == "string" else tf.as_dtype(dtype).as_numpy_dtype


def _ones(shape: Shape, dtype: Any) -> np.ndarray[Any, Any]:
    sizes = [shape[0] or 1, *(size or STEPS for size in shape[1:])]
    return np.full(sizes, b"", object) if dtype is object else np.ones(sizes, dtype)


def in_batches(examples: Any, sizes: Sequence[int]) -> Any:
    """Each example in each size of batch: its rows over and over."""
    return [
        {name: value[np.arange(size) % len(value)] for name, value in example.items()}
        for size in sizes
        for example in examples
    ]


def write(folder: Path, name: str, requests: Any) -> None:
    """Writes requests for every signature to `assets.extra/tf_serving_warmup_requests`.

    Optional inputs are given, too, in the size of the batch: TensorFlow Serving wants that where
    it batches.

    Args:
        folder: `pathlib.Path` of the version.
        name: name of the model.
        requests: list of dictionaries of arrays, batch first: inputs by name, of which a signature
            gets those that it has.

    Raises:
        ValueError: more requests than a server takes.
    """
    saved_model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    (graph,) = saved_model.meta_graphs
    signatures = {k: s for k, s in graph.signature_def.items() if not k.startswith("__")}
    if len(signatures) * len(requests) > MOST:
        raise ValueError(
            f"Expected at most {MOST} warmup requests in all: signatures times examples times "
            f"sizes of batches. Received: {len(signatures) * len(requests)}"
        )
    extra = folder / "assets.extra"
    extra.mkdir()
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        for given in requests:
            for key in sorted(signatures):
                request = predict_pb2.PredictRequest()
                request.model_spec.name = name
                request.model_spec.signature_name = key
                for input_name, value in _inputs(signatures[key], given).items():
                    request.inputs[input_name].CopyFrom(value)
                log = prediction_log_pb2.PredictionLog(
                    predict_log=prediction_log_pb2.PredictLog(request=request)
                )
                writer.write(log.SerializeToString())


def _inputs(signature: Any, given: Any) -> Any:
    size = len(next(iter(given.values())))
    found = {}
    for name, info in signature.inputs.items():
        dtype = tf.as_dtype(info.dtype)
        if name in given:
            value = given[name]
        elif name in signature.defaults:
            value = np.repeat(tf.make_ndarray(signature.defaults[name]), size, axis=0)
        else:
            value = np.zeros(size, dtype.as_numpy_dtype)
        found[name] = tf.make_tensor_proto(value, dtype=dtype)
    return found


def _any_text(tokenizer: Tokenizer) -> str:
    """A text of a few pieces of the vocabulary, bytes."""
    ids = list(range(4, min(tokenizer.vocabulary_size, 4 + 2 * STEPS))) or [UNKNOWN_ID]
    return tokenizer.detokenize(tf.constant([ids]), tf.constant([len(ids)])).numpy()[0]
