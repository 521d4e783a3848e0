"""Types of the message classes that are built from descriptors: the text of a `.pyi`.

`python -m tests.serving.message_stubs` writes those of the package anew, after a change of the
descriptors or of the constants of a module.
"""

import importlib
import subprocess
from pathlib import Path

from google.protobuf.descriptor import FieldDescriptor as Field

from keras_attention_serving.protocol import wire

ROOT = Path(__file__).parents[2]
MODULES = {
    name: ROOT / "serving" / "keras_attention_serving" / f"{name.replace('.', '/')}.pyi"
    for name in ("protocol.wire", "open_inference.messages")
}
MARK = "# Messages"
_SCALARS = {
    Field.CPPTYPE_BOOL: "bool",
    Field.CPPTYPE_DOUBLE: "float",
    Field.CPPTYPE_FLOAT: "float",
    Field.CPPTYPE_STRING: "str",
}


def stub(name):
    """The text of the stub of a module, `"protocol.wire"` say."""
    module = importlib.import_module(f"keras_attention_serving.{name}")
    values = {key: value for key, value in vars(module).items() if not key.startswith("_")}
    classes = {
        key: value.DESCRIPTOR
        for key, value in values.items()
        if getattr(value, "DESCRIPTOR", None) and value.DESCRIPTOR.file.pool is wire.POOL
    }
    names = {descriptor.full_name: key for key, descriptor in classes.items()}
    lines = []
    for key, descriptor in classes.items():
        lines += _message(key, descriptor, names)
    for key, value in values.items():
        if isinstance(value, int | str):
            lines.append(f"{key}: {type(value).__name__}")
        elif isinstance(value, tuple):
            lines.append(f"{key}: tuple[{_tuple(value)}]")
    return "\n".join(lines)


def _tuple(values):
    kinds = [f"tuple[{_tuple(v)}]" if isinstance(v, tuple) else type(v).__name__ for v in values]
    return ", ".join(kinds)


def _message(name, descriptor, names):
    body = []
    for enum in descriptor.enum_types:
        body.append(f"{enum.name}: _Enum")
        body += [f"{value.name}: int" for value in enum.values]
    for nested in descriptor.nested_types:
        if not nested.GetOptions().map_entry:
            body += _message(nested.name, nested, names)
    arguments = []
    for field in descriptor.fields:
        kind, argument, assignable = _types(field, names)
        if assignable:
            body.append(f"{field.name}: {kind}")
        else:
            body += ["@property", f"def {field.name}(self) -> {kind}: ..."]
        arguments.append(f"{field.name}: {argument} | None = ...")
    star = ["*", *arguments] if arguments else []
    body.append(f"def __init__({', '.join(['self', *star])}) -> None: ...")
    return [f"class {name}(Message):", *(f"    {line}" for line in body)]


def _types(field, names):
    """The type of a field, that of the argument which sets it, and whether it can be assigned."""
    message = field.message_type
    if message is None:
        kind = _scalar(field)
        if field.is_repeated:
            return f"_Repeated[{kind}]", f"Iterable[{kind}]", False
        return kind, kind, True
    if message.GetOptions().map_entry:
        key, value = message.fields_by_name["key"], message.fields_by_name["value"]
        if value.message_type is None:
            kinds = f"{_scalar(key)}, {_scalar(value)}"
            return f"MutableMapping[{kinds}]", f"Mapping[{kinds}]", False
        kinds = f"{_scalar(key)}, {_class(value.message_type, names)}"
        return f"_MessageMap[{kinds}]", f"Mapping[{kinds}]", False
    kind = _class(message, names)
    if field.is_repeated:
        return f"_RepeatedMessage[{kind}]", f"Iterable[{kind}]", False
    return kind, kind, False


def _scalar(field):
    if field.type == Field.TYPE_BYTES:
        return "bytes"
    return _SCALARS.get(field.cpp_type, "int")


def _class(descriptor, names):
    """The name of a message in the module, `Message` if the module has none for it."""
    if descriptor.full_name == "google.protobuf.Any":
        return "_Any"
    if descriptor.full_name == "google.protobuf.Any":
        return "_Any"
    path = []
    while descriptor is not None:
        if descriptor.full_name in names:
            return ".".join([names[descriptor.full_name], *path])
        path.insert(0, descriptor.name)
        descriptor = descriptor.containing_type
    return "Message"


def main():
    for name, path in MODULES.items():
        text = path.read_text()
        head = text[: text.index(MARK)]
        path.write_text(f"{head}{MARK}\n{stub(name)}\n")
        subprocess.run(["ruff", "format", path], check=True)


if __name__ == "__main__":
    main()
