"""A picture of an alignment."""

from pathlib import Path

import click

from keras_attention_command.options import model_option, server_option


@click.command()
@server_option
@model_option
@click.argument("text")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="The PNG to write.")
def plot(server: str, model: str, text: str, output: Path) -> None:
    """Asks a served model TEXT and draws what the answer attended to."""
    from keras_attention.plotting import save_alignment
    from keras_attention_serving import Client

    with Client(server) as client:
        answer = client.predict(model, {"text": [text]})
    save_alignment(output, answer, title=answer["text"][0].decode("utf-8"))
    click.echo(output)
