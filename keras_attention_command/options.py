"""Options that several commands share, and the texts that they read."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keras_attention_command.settings import FORMER_NAMES, Settings

if TYPE_CHECKING:  # slow to import
    from keras_attention.text.corpus import Corpus


def settings_options(command: Any) -> Any:
    """One option for each field of `Settings`."""
    for field in reversed(dataclasses.fields(Settings)):
        name = "--" + field.name.replace("_", "-")
        arguments = {"default": field.default, "show_default": True, "help": field.metadata["help"]}
        if field.type is bool:
            name = f"{name}/--no-{name[2:]}"
        elif field.name in ("source_symbols", "target_symbols"):
            arguments |= {"default": "", "callback": lambda c, p, v: tuple(v.split())}
        else:
            arguments["type"] = type(field.default)
        former = [
            f"--{old.replace('_', '-')}" for old, new in FORMER_NAMES.items() if new == field.name
        ]
        command = click.option(name, *former, field.name, **arguments)(command)
    return command


def text_options(name: str, help_text: str, required: bool = True) -> Any:
    """`--NAME FILE` for two columns, and `--NAME-target FILE` where they are two files."""

    def decorate(command: Any) -> Any:
        target = click.option(
            f"--{name}-target",
            type=click.Path(path_type=Path),
            help=f"Target lines, if --{name} has the source lines alone.",
        )
        source = click.option(
            f"--{name}", required=required, type=click.Path(path_type=Path), help=help_text
        )
        return source(target(command))

    return decorate


def read(source: Path, target: Path | None, skip_header: bool = False) -> "Corpus":
    from keras_attention.text import read_pairs, read_parallel

    pairs = read_pairs(source) if target is None else read_parallel(source, target)
    if pairs.header and skip_header:
        pairs = pairs.part(range(1, len(pairs)))
        if not pairs:
            raise ValueError(f"{source}: Expected lines after the header. Received: none")
    elif pairs.header:
        click.echo(
            f"{pairs.where(0)}: {' and '.join(pairs.header)} look like a header, and are read as "
            "texts; --skip-header leaves them out.",
            err=True,
        )
    return pairs


def named_value(text: str) -> tuple[str, str]:
    """`name=value` as a pair."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"Expected NAME=VALUE. Received: {text!r}")
    return name, value


def number(text: str) -> float:
    """An integer or a decimal number."""
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            raise click.BadParameter(f"Expected a number. Received: {text!r}") from None


def preset(text: str) -> tuple[str, Any]:
    """`name=search,setting=number,...` as `export` takes it."""
    name, search = named_value(text)
    search, *rest = search.split(",")
    settings = dict(named_value(part) for part in rest)
    return name, (search, {name: number(value) for name, value in settings.items()})


run_option = click.option(
    "--run", "run", required=True, type=click.Path(path_type=Path), help="Folder of the run."
)
header_option = click.option(
    "--skip-header", is_flag=True, help="Leave out a first line that looks like a header."
)
server_option = click.option(
    "--server", default="localhost:8500", show_default=True, help="HOST:PORT of the server."
)
model_option = click.option("--model", required=True, help="Name of the model on the server.")
