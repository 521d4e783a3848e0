"""The protocol of TensorFlow Serving: its message classes and the paths of its methods.

The classes are built from `descriptors.binpb` in a `DescriptorPool` of their own. Generated modules
would register themselves in the process-wide pool and clash with TensorFlow's as soon as both are
imported; these live beside them, and are the same on the wire.
"""

from importlib.resources import files
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass


def _load_pool() -> Any:
    pool = DescriptorPool()
    data = files(__package__).joinpath("descriptors.binpb").read_bytes()
    for file in FileDescriptorSet.FromString(data).file:
        pool.Add(file)
    return pool


POOL = _load_pool()


def message(name: str) -> Any:
    """The class of a message by its full name, e.g. `"tensorflow.serving.PredictRequest"`.

    Raises `KeyError` if the protocol has no such message.
    """
    return GetMessageClass(POOL.FindMessageTypeByName(name))


DataType = POOL.FindEnumTypeByName("tensorflow.DataType")
ConfigProto = message("tensorflow.ConfigProto")
MetaGraphDef = message("tensorflow.MetaGraphDef")
OpList = message("tensorflow.OpList")
RunOptions = message("tensorflow.RunOptions")
SignatureDef = message("tensorflow.SignatureDef")
TensorProto = message("tensorflow.TensorProto")

ModelSpec = message("tensorflow.serving.ModelSpec")
PredictRequest = message("tensorflow.serving.PredictRequest")
PredictResponse = message("tensorflow.serving.PredictResponse")
ClassificationRequest = message("tensorflow.serving.ClassificationRequest")
ClassificationResponse = message("tensorflow.serving.ClassificationResponse")
RegressionRequest = message("tensorflow.serving.RegressionRequest")
RegressionResponse = message("tensorflow.serving.RegressionResponse")
MultiInferenceRequest = message("tensorflow.serving.MultiInferenceRequest")
MultiInferenceResponse = message("tensorflow.serving.MultiInferenceResponse")
GetModelMetadataRequest = message("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse = message("tensorflow.serving.GetModelMetadataResponse")
SignatureDefMap = message("tensorflow.serving.SignatureDefMap")  # inside an Any in the response
GetModelStatusRequest = message("tensorflow.serving.GetModelStatusRequest")
GetModelStatusResponse = message("tensorflow.serving.GetModelStatusResponse")
ModelVersionStatus = message("tensorflow.serving.ModelVersionStatus")
ModelServerConfig = message("tensorflow.serving.ModelServerConfig")
ReloadConfigRequest = message("tensorflow.serving.ReloadConfigRequest")
ReloadConfigResponse = message("tensorflow.serving.ReloadConfigResponse")
PredictionLog = message("tensorflow.serving.PredictionLog")  # a warm-up record

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"

PREDICT = f"/{PREDICTION_SERVICE}/Predict"
CLASSIFY = f"/{PREDICTION_SERVICE}/Classify"
REGRESS = f"/{PREDICTION_SERVICE}/Regress"
MULTI_INFERENCE = f"/{PREDICTION_SERVICE}/MultiInference"
GET_MODEL_METADATA = f"/{PREDICTION_SERVICE}/GetModelMetadata"
GET_MODEL_STATUS = f"/{MODEL_SERVICE}/GetModelStatus"
HANDLE_RELOAD_CONFIG = f"/{MODEL_SERVICE}/HandleReloadConfigRequest"

DEFAULT_SIGNATURE = "serving_default"
MAX_MESSAGE_BYTES = 2**31 - 1
# In the metadata behind an answer: the same request is not worth another attempt.
NO_RETRY = ("grpc-retry-pushback-ms", "-1")
CHANNEL_SIZE_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)
