"""Writes `descriptors.binpb`: the protocol of TensorFlow Serving, without TensorFlow.

    python serving/make_descriptors.py [FILE]

The file is a FileDescriptorSet of every message and service in `tensorflow_serving.apis` and of
the server's own configuration, with all that they import, dependencies first. It is taken from the
official `tensorflow-serving-api` package, which needs TensorFlow; the package that reads the file
(`keras_attention_serving.wire`) needs neither.
"""

import importlib
import pkgutil
import sys
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

TARGET = Path(__file__).parent / "keras_attention_serving" / "descriptors.binpb"


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


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.write_bytes(descriptor_set())
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
