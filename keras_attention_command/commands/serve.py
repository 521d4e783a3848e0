"""The embedded server with its defaults."""

from pathlib import Path
from typing import Any

import click

from keras_attention_command.quiet import quiet_log


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--port", default=8500, show_default=True, help="0 picks a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
def serve(models: Any, port: int, host: str) -> None:
    """Serves MODELS, folders like saved_models/NAME, over gRPC until Ctrl-C or SIGTERM."""
    import signal

    from keras_attention_serving.server import Server

    by_name = {path.resolve().name: path for path in models}
    if len(by_name) < len(models):
        raise ValueError(
            "Expected folders of different names, which are the names of the models. "
            f"Received: {' '.join(map(str, models))}"
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops as Ctrl-C does
    with quiet_log():
        server = Server(by_name, port=port, host=host)
    with server:
        for name, version in server.available():
            click.echo(f"Serving {name} version {version} on {host}:{server.port}")
        try:
            server.wait()
        except KeyboardInterrupt:
            click.echo("Stopping: calls under way may finish.")
