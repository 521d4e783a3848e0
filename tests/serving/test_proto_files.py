"""The `.proto` files that the command writes: protoc makes the descriptors of them."""

import subprocess
import sys
from importlib.resources import files

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from keras_attention_serving import __main__


def plain(descriptors):
    """Files by name, without what protoc adds of itself; the well-known ones are protoc's own."""
    result = {}

    def strip(message):
        for field in message.field:
            field.ClearField("json_name")
        for nested in message.nested_type:
            strip(nested)
        # Those that stand for maps are where their fields are.
        nested = sorted(message.nested_type, key=lambda one: one.name)
        del message.nested_type[:]
        message.nested_type.extend(nested)

    for file in descriptors:
        for message in file.message_type:
            strip(message)
        for service in file.service:
            for method in service.method:
                method.ClearField("options")  # there, and empty
        if not file.name.startswith("google/protobuf/"):
            result[file.name] = file
    return result


def test_protoc_makes_the_same_descriptors_of_them(tmp_path):
    assert __main__.main([f"--write_protos={tmp_path / 'protos'}"]) == 0
    expected = FileDescriptorSet()
    for name in ("protocol/descriptors.binpb", "open_inference/descriptors.binpb"):
        expected.MergeFromString(files("keras_attention_serving").joinpath(name).read_bytes())
    written = sorted(
        path.relative_to(tmp_path / "protos").as_posix()
        for path in (tmp_path / "protos").rglob("*.proto")
    )
    compile_ = [sys.executable, "-m", "grpc_tools.protoc", f"-I{tmp_path / 'protos'}"]
    out = tmp_path / "out"
    subprocess.run([*compile_, f"--descriptor_set_out={out}", *written], check=True)
    found = plain(FileDescriptorSet.FromString(out.read_bytes()).file)
    assert found == plain(expected.file)
    assert "tensorflow_serving/apis/prediction_service.proto" in found


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert __main__.main([f"--write_protos={tmp_path / 'file'}"]) == 255
    message = "Failed to start server. Error: FAILED_PRECONDITION: "
    assert capsys.readouterr().out.startswith(message)
