"""The `keras-attention` command: train, evaluate, export, serve, query, plot."""

import sys
from collections.abc import Sequence

import click

from keras_attention_command.commands.evaluate import evaluate
from keras_attention_command.commands.export import export
from keras_attention_command.commands.plot import plot
from keras_attention_command.commands.query import query
from keras_attention_command.commands.serve import serve
from keras_attention_command.commands.train import train

# What a user can cause, and mends by reading one line. Anything else is a bug of ours, and shows
# its traceback.
USER_ERRORS = (ValueError, OSError)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="keras-attention-serving")
def cli() -> None:
    """Trains sequence-to-sequence models with attention, exports, serves and queries them."""


for _command in (train, evaluate, export, serve, query, plot):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command. Bad input gives one line on standard error and exit status 2."""
    try:
        status = cli.main(arguments, prog_name="keras-attention", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        status = exit_.exit_code
    except (KeyboardInterrupt, click.Abort):
        status = 130
    except click.ClickException as error:
        status = _refuse(error.format_message())
    except _user_errors() as error:
        status = _refuse(str(error))
    sys.exit(status or 0)


def _refuse(reason: str) -> int:
    print("keras-attention: " + " ".join(reason.split()), file=sys.stderr)
    return 2


def _user_errors() -> tuple[type[Exception], ...]:
    from keras_attention_serving.errors import ServingError

    return (*USER_ERRORS, ServingError)
