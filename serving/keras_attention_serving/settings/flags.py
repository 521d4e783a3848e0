"""Command-line flags as `tensorflow_model_server` reads them.

A flag is `--name=value`; a boolean may be given as bare `--name`. Values are what C's `scanf`
takes, such as `8500`, `+5` and `0.25`; booleans are `true` or `false`. Arguments that are not flags
are returned to the caller, which reports them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PATTERNS = {
    "int32": re.compile(r"\s*[+-]?\d+", re.ASCII),
    "int64": re.compile(r"\s*[+-]?\d+", re.ASCII),
    "float": re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII),
}
_BITS = {"int32": 31, "int64": 63}


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        name: without the dashes.
        kind: `"int32"`, `"int64"`, `"float"`, `"bool"` or `"string"`.
        default: value if the flag is absent.
        help: one sentence.
    """

    name: str
    kind: str
    default: Any
    help: str


@dataclass(frozen=True)
class Parsed:
    """A parsed command line.

    Attributes:
        values: values of the flags that were set, by name.
        unknown: arguments that are not flags, in order.
        errors: one line for each value that cannot be read.
    """

    values: Mapping[str, Any]
    unknown: Sequence[str]
    errors: Sequence[str]


def parse(arguments: Sequence[str], flags: Sequence[Flag]) -> Parsed:
    """Parses the arguments of a command; if a flag is set twice, the last value counts."""
    values: dict[str, Any] = {}
    unknown: list[str] = []
    errors: list[str] = []
    for position, argument in enumerate(arguments):
        if argument == "--":
            unknown.extend(arguments[position:])
            break
        match = _find(argument, flags)
        if match is None:
            unknown.append(argument)
            continue
        flag, text = match
        try:
            values[flag.name] = _value(flag.kind, text)
        except ValueError:
            errors.append(f"Couldn't interpret value {text} for flag {flag.name}.")
    return Parsed(values, unknown, errors)


def usage(command: str, flags: Sequence[Flag]) -> str:
    """The text that `--help` prints, each flag with its default."""
    lines = [f"usage: {command}", "Flags:"]
    for flag in flags:
        setting = f"--{flag.name}={_shown(flag)}"
        lines.append(f"\t{setting:<33}\t{flag.kind}\t{flag.help}")
    return "\n".join(lines) + "\n"


def _find(argument: str, flags: Sequence[Flag]) -> tuple[Flag, str | None] | None:
    """The flag that an argument sets, and the text of its value, `None` for a bare boolean."""
    if not argument.startswith("--"):
        return None
    name, equals, text = argument[2:].partition("=")
    for flag in flags:
        if flag.name == name and (equals or flag.kind == "bool"):
            return flag, text if equals else None
    return None


def _value(kind: str, text: str | None) -> Any:
    if text is None:
        return True
    if kind == "string":
        return text
    if kind == "bool":
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"
    if not _PATTERNS[kind].fullmatch(text):
        raise ValueError(text)
    if kind == "float":
        return float(text)
    limit = 1 << _BITS[kind]
    number = int(text)
    if not -limit <= number < limit:
        raise ValueError(text)
    return number


def _shown(flag: Flag) -> str:
    if flag.kind == "bool":
        return "true" if flag.default else "false"
    if flag.kind == "string":
        return f'"{flag.default}"'
    return f"{flag.default:f}" if flag.kind == "float" else str(flag.default)
