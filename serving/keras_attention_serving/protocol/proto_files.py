"""Writer of the protocols as `.proto` files, from their descriptors, for other languages."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from google.protobuf import text_encoding
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

_SETS = ("protocol/descriptors.binpb", "open_inference/descriptors.binpb")
_EVERYWHERE = "google/protobuf/"  # of files that every compiler brings with it


def write(folder: Path) -> list[Path]:
    """Writes all files below a folder, in the paths of their imports; returns the paths."""
    written = []
    for name in _SETS:
        data = files("keras_attention_serving").joinpath(name).read_bytes()
        for file in FileDescriptorSet.FromString(data).file:
            if not file.name.startswith(_EVERYWHERE):
                path = folder / file.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text(file), encoding="utf-8")
                written.append(path)
    return written


def text(file: Any) -> str:
    """The source of a `FileDescriptorProto`, without the original comments."""
    lines = [f'syntax = "{file.syntax or "proto2"}";', ""]
    if file.package:
        lines += [f"package {file.package};", ""]
    for i, name in enumerate(file.dependency):
        public = "public " if i in file.public_dependency else ""
        lines.append(f'import {public}"{name}";')
    lines += [f"option {option};" for option in _options(file.options)]
    for enum in file.enum_type:
        lines += ["", *_enum(enum)]
    for message in file.message_type:
        lines += ["", *_message(message, file.syntax == "proto3")]
    for service in file.service:
        lines += ["", *_block(f"service {service.name}", _methods(service))]
    return "\n".join([*lines, ""])


def _message(message: Any, proto3: bool) -> list[str]:
    maps = {nested.name: nested.field for nested in message.nested_type if nested.options.map_entry}
    lines = [f"option {option};" for option in _options(message.options)]
    for enum in message.enum_type:
        lines += _enum(enum)
    for nested in message.nested_type:
        if nested.name not in maps:
            lines += _message(nested, proto3)
    open_choice = None
    for field in message.field:
        choice = field.oneof_index if _is_choice(field) else None
        if choice != open_choice and open_choice is not None:
            lines.append("}")
        if choice != open_choice and choice is not None:
            lines.append(f"oneof {message.oneof_decl[choice].name} {{")
        open_choice = choice
        lines.append("  " * (choice is not None) + _field(field, maps, proto3))
    if open_choice is not None:
        lines.append("}")
    lines += _reserved(message, 1)
    return _block(f"message {message.name}", lines)


def _is_choice(field: Any) -> bool:
    return field.HasField("oneof_index") and not field.proto3_optional


def _field(field: Any, maps: dict[str, Any], proto3: bool) -> str:
    entry = field.type_name.rpartition(".")[2]
    if entry in maps:
        key, value = maps[entry]
        kind = f"map<{_type(key)}, {_type(value)}>"
    else:
        kind = _label(field, proto3) + _type(field)
    options = ", ".join(_options(field.options))
    return f"{kind} {field.name} = {field.number}{f' [{options}]' if options else ''};"


def _label(field: Any, proto3: bool) -> str:
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return "repeated "
    plain = _is_choice(field) or proto3 and not field.proto3_optional
    return "" if plain else "optional "


def _type(field: Any) -> str:
    name: str = FieldDescriptorProto.Type.Name(field.type)
    return field.type_name or name.removeprefix("TYPE_").lower()


def _enum(enum: Any) -> list[str]:
    lines = [f"option {option};" for option in _options(enum.options)]
    for value in enum.value:
        options = ", ".join(_options(value.options))
        lines.append(f"{value.name} = {value.number}{f' [{options}]' if options else ''};")
    return _block(f"enum {enum.name}", [*lines, *_reserved(enum, 0)])


def _methods(service: Any) -> Iterator[str]:
    for method in service.method:
        asks = "stream " * method.client_streaming + method.input_type
        answers = "stream " * method.server_streaming + method.output_type
        yield f"rpc {method.name}({asks}) returns ({answers});"


def _reserved(owner: Any, beyond: int) -> Iterator[str]:
    """Reserved names and numbers; the ends of ranges are `beyond` their last numbers."""
    for part in owner.reserved_range:
        yield f"reserved {part.start} to {part.end - beyond};"
    for name in owner.reserved_name:
        yield f'reserved "{name}";'


def _options(options: Any) -> Iterator[str]:
    for field, value in options.ListFields():
        if field.enum_type is not None:
            shown = field.enum_type.values_by_number[value].name
        elif isinstance(value, str):
            shown = f'"{text_encoding.CEscape(value, True)}"'
        else:
            shown = str(value).lower()
        yield f"{field.name} = {shown}"


def _block(head: str, lines: Any) -> list[str]:
    return [f"{head} {{", *(f"  {line}" for line in lines), "}"]
