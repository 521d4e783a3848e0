"""The messages of the Open Inference Protocol and the paths of its methods.

They are in the pool of `wire`, where they cannot clash with those of another package, such as
`tritonclient`, in the same process.
"""

from importlib.resources import files

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from keras_attention_serving.protocol import wire

for _file in FileDescriptorSet.FromString(
    files(__package__).joinpath("descriptors.binpb").read_bytes()
).file:
    wire.POOL.Add(_file)

ServerLiveRequest = wire.message("inference.ServerLiveRequest")
ServerLiveResponse = wire.message("inference.ServerLiveResponse")
ServerReadyRequest = wire.message("inference.ServerReadyRequest")
ServerReadyResponse = wire.message("inference.ServerReadyResponse")
ModelReadyRequest = wire.message("inference.ModelReadyRequest")
ModelReadyResponse = wire.message("inference.ModelReadyResponse")
ServerMetadataRequest = wire.message("inference.ServerMetadataRequest")
ServerMetadataResponse = wire.message("inference.ServerMetadataResponse")
ModelMetadataRequest = wire.message("inference.ModelMetadataRequest")
ModelMetadataResponse = wire.message("inference.ModelMetadataResponse")
ModelInferRequest = wire.message("inference.ModelInferRequest")
ModelInferResponse = wire.message("inference.ModelInferResponse")
InferParameter = wire.message("inference.InferParameter")
InferTensorContents = wire.message("inference.InferTensorContents")

SERVICE = "inference.GRPCInferenceService"
MODEL_INFER = f"/{SERVICE}/ModelInfer"
