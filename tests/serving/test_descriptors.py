"""The committed descriptors are what the script makes of the official package and of protoc."""

import runpy
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

SERVING = Path(__file__).parents[2] / "serving"
DESCRIPTORS = SERVING / "keras_attention_serving" / "protocol" / "descriptors.binpb"
OPEN_INFERENCE = SERVING / "keras_attention_serving" / "open_inference" / "descriptors.binpb"


def test_script_reproduces_the_committed_file():
    script = runpy.run_path(str(SERVING / "make_descriptors.py"))
    assert script["descriptor_set"]() == DESCRIPTORS.read_bytes()


def test_script_reproduces_those_of_the_open_inference_protocol():
    script = runpy.run_path(str(SERVING / "make_descriptors.py"))
    made = FileDescriptorSet.FromString(script["open_inference"]())
    assert made == FileDescriptorSet.FromString(OPEN_INFERENCE.read_bytes())


def test_dependencies_come_first():
    seen = set()
    for file in FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        assert seen.issuperset(file.dependency)
        seen.add(file.name)


def test_every_service_of_the_api_is_there():
    files = FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file
    services = {
        f"{file.package}.{service.name}": [method.name for method in service.method]
        for file in files
        for service in file.service
    }
    assert services == {
        "tensorflow.serving.PredictionService": [
            *("Classify", "Regress", "Predict", "MultiInference", "GetModelMetadata")
        ],
        "tensorflow.serving.ModelService": ["GetModelStatus", "HandleReloadConfigRequest"],
        "tensorflow.serving.SessionService": ["SessionRun"],
    }
