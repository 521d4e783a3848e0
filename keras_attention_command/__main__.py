"""Entry of the command: what an environment lacks for it is one line, too."""

import sys
from collections.abc import Sequence

from keras_attention_command.missing import overwritten, reason


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command; exit status 2 and one line where a package is missing."""
    try:
        from keras_attention_command.cli import main as run

        run(arguments)
    except ImportError as error:
        text = overwritten() or reason(error)
        if text is None:
            raise
        print(f"keras-attention: {text}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
