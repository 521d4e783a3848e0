"""The protocol of TensorFlow Serving: its message classes and the paths of its methods.

The classes are built from `descriptors.binpb` in a `DescriptorPool` of their own. Generated modules
would register themselves in the process-wide pool and clash with TensorFlow's as soon as both are
imported; these live beside them, and are the same on the wire. Their types are in `wire.pyi`.
"""

from importlib.resources import files
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message as Message
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
Int64Value = message("google.protobuf.Int64Value")
AttrValue = message("tensorflow.AttrValue")
BytesList = message("tensorflow.BytesList")
ConfigProto = message("tensorflow.ConfigProto")
Example = message("tensorflow.Example")
Feature = message("tensorflow.Feature")
Features = message("tensorflow.Features")
FloatList = message("tensorflow.FloatList")
FunctionDef = message("tensorflow.FunctionDef")
FunctionDefLibrary = message("tensorflow.FunctionDefLibrary")
GPUOptions = message("tensorflow.GPUOptions")
GraphDef = message("tensorflow.GraphDef")
GraphOptions = message("tensorflow.GraphOptions")
Int64List = message("tensorflow.Int64List")
MetaGraphDef = message("tensorflow.MetaGraphDef")
NameAttrList = message("tensorflow.NameAttrList")
NodeDef = message("tensorflow.NodeDef")
OpDef = message("tensorflow.OpDef")
OpList = message("tensorflow.OpList")
RewriterConfig = message("tensorflow.RewriterConfig")
RunOptions = message("tensorflow.RunOptions")
SaverDef = message("tensorflow.SaverDef")
SignatureDef = message("tensorflow.SignatureDef")
TensorInfo = message("tensorflow.TensorInfo")
TensorProto = message("tensorflow.TensorProto")
TensorShapeProto = message("tensorflow.TensorShapeProto")

Class = message("tensorflow.serving.Class")
ClassificationRequest = message("tensorflow.serving.ClassificationRequest")
ClassificationResponse = message("tensorflow.serving.ClassificationResponse")
ClassificationResult = message("tensorflow.serving.ClassificationResult")
Classifications = message("tensorflow.serving.Classifications")
ClassifyLog = message("tensorflow.serving.ClassifyLog")
ExampleList = message("tensorflow.serving.ExampleList")
ExampleListWithContext = message("tensorflow.serving.ExampleListWithContext")
GetModelMetadataRequest = message("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse = message("tensorflow.serving.GetModelMetadataResponse")
GetModelStatusRequest = message("tensorflow.serving.GetModelStatusRequest")
GetModelStatusResponse = message("tensorflow.serving.GetModelStatusResponse")
InferenceResult = message("tensorflow.serving.InferenceResult")
InferenceTask = message("tensorflow.serving.InferenceTask")
Input = message("tensorflow.serving.Input")
ModelConfig = message("tensorflow.serving.ModelConfig")
ModelConfigList = message("tensorflow.serving.ModelConfigList")
ModelServerConfig = message("tensorflow.serving.ModelServerConfig")
ModelSpec = message("tensorflow.serving.ModelSpec")
ModelVersionStatus = message("tensorflow.serving.ModelVersionStatus")
MultiInferenceLog = message("tensorflow.serving.MultiInferenceLog")
MultiInferenceRequest = message("tensorflow.serving.MultiInferenceRequest")
MultiInferenceResponse = message("tensorflow.serving.MultiInferenceResponse")
PredictLog = message("tensorflow.serving.PredictLog")
PredictRequest = message("tensorflow.serving.PredictRequest")
PredictResponse = message("tensorflow.serving.PredictResponse")
PredictionLog = message("tensorflow.serving.PredictionLog")  # a warm-up record
RegressLog = message("tensorflow.serving.RegressLog")
Regression = message("tensorflow.serving.Regression")
RegressionRequest = message("tensorflow.serving.RegressionRequest")
RegressionResponse = message("tensorflow.serving.RegressionResponse")
RegressionResult = message("tensorflow.serving.RegressionResult")
ReloadConfigRequest = message("tensorflow.serving.ReloadConfigRequest")
ReloadConfigResponse = message("tensorflow.serving.ReloadConfigResponse")
SignatureDefMap = message("tensorflow.serving.SignatureDefMap")  # inside an Any in the response
StatusProto = message("tensorflow.serving.StatusProto")
ServableVersionPolicy = message(
    "tensorflow.serving.FileSystemStoragePathSourceConfig.ServableVersionPolicy"
)

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
# In the trailing metadata of a response: the same request should not be tried again.
NO_RETRY = ("grpc-retry-pushback-ms", "-1")
CHANNEL_SIZE_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)
