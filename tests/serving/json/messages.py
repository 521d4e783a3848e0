"""Reading of request bodies and writing of responses, for the tests of JSON."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from keras_attention_serving import errors
from keras_attention_serving.protocol import tensors, wire
from keras_attention_serving.rest import json_decode, json_encode

TensorInfo = wire.message("tensorflow.TensorInfo")
DTYPES = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64"]
DTYPES = [np.dtype(name) for name in [*DTYPES, "bool"]]


def infos(**dtypes):
    return {
        name: TensorInfo(dtype=tf.as_dtype(dtype).as_datatype_enum)
        for name, dtype in dtypes.items()
    }


def read(body, **dtypes):
    """The arrays in a predict body, and True if it is in row format."""
    request = wire.PredictRequest()
    if isinstance(body, str):
        body = body.encode()
    rows = json_decode.fill_predict(request, body, lambda: infos(**dtypes))
    official = {
        name: tf.make_ndarray(tensor_pb2.TensorProto.FromString(proto.SerializeToString()))
        for name, proto in request.inputs.items()
    }
    return official, rows


def complaint(body, **dtypes):
    with pytest.raises(errors.InvalidArgument) as caught:
        read(body, **dtypes)
    return caught.value.message


def written(rows=True, **arrays):
    protos = {name: tensors.to_proto(np.asarray(array)) for name, array in arrays.items()}
    return json_encode.predictions(protos, rows).decode()
