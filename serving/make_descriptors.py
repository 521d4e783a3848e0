"""Writes `descriptors.binpb`, twice: protocols as the server needs them.

    python serving/make_descriptors.py [FOLDER]

That of TensorFlow Serving is a FileDescriptorSet of every message and service in
`tensorflow_serving.apis` and of the server's own configuration, with all that they import,
dependencies first. It is taken from the official `tensorflow-serving-api` package, which needs
TensorFlow; the package that reads the file (`keras_attention_serving.protocol.wire`) needs neither.

That of the Open Inference Protocol is what protoc, out of the package `grpcio-tools`, makes of
`open_inference/open_inference.proto`.
"""

import importlib
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

TARGET = Path(__file__).parent / "keras_attention_serving"
PROTO = TARGET / "open_inference" / "open_inference.proto"


def roots() -> list[FileDescriptor]:
    """The files of the official package, sorted by module name."""
    files = []
    for package_name in ("tensorflow_serving.apis", "tensorflow_serving.config"):
        package = importlib.import_module(package_name)
        for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
            if module.endswith("_pb2"):
                files.append(importlib.import_module(f"{package_name}.{module}").DESCRIPTOR)
    return files


def descriptor_set() -> bytes:
    """The serialized FileDescriptorSet; the same bytes for the same official package."""
    result = FileDescriptorSet()
    seen: set[str] = set()

    def add(file: FileDescriptor) -> None:
        if file.name in seen:
            return
        seen.add(file.name)
        for dependency in file.dependencies:
            add(dependency)
        file.CopyToProto(result.file.add())

    for file in roots():
        add(file)
    return result.SerializeToString(deterministic=True)


def open_inference() -> bytes:
    """The serialized FileDescriptorSet of the `.proto` file."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result")
        arguments = [f"-I{PROTO.parent}", f"--descriptor_set_out={result}", PROTO.name]
        # In a process of its own: in one with TensorFlow it crashes.
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True)
        return result.read_bytes()


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    for name, data in (("protocol", descriptor_set()), ("open_inference", open_inference())):
        target = folder / name / "descriptors.binpb"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
        print(f"{target}: {len(data)} bytes")


if __name__ == "__main__":
    main()
