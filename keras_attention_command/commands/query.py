"""Texts to a server, and its answers as a table."""

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from keras_attention_command.options import model_option, named_value, server_option
from keras_attention_command.table import table

if TYPE_CHECKING:  # slow to import
    from keras_attention_serving import Client


def _inputs(
    client: "Client", model: str, signature: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Settings as the inputs that the signature takes them for."""
    if not settings:
        return {}
    import numpy as np

    signatures = client.metadata(model).signatures
    known = signatures[signature].inputs if signature in signatures else {}
    found = {}
    for name, value in settings.items():
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise ValueError(
                f"Expected settings of signature {signature}: {names}. Received: {name}={value}"
            )
        dtype = known[name].dtype
        try:
            found[name] = (
                [value] if dtype is None or dtype.kind == "O" else np.array([value], dtype)
            )
        except ValueError:
            raise ValueError(f"Expected {name} of {dtype}. Received: {name}={value}") from None
    return found


@click.command()
@server_option
@model_option
@click.option(
    "--signature", default="serving_default", show_default=True, help="Or: beam, sample, a preset."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    callback=lambda c, p, values: dict(named_value(value) for value in values),
    help="An input beside the text, such as length_penalty=0.6 or seed=7; repeatable.",
)
@click.argument("texts", nargs=-1, required=True)
def query(server: str, model: str, signature: str, settings: Any, texts: Iterable[str]) -> None:
    """Asks a served model TEXTS and prints question, answers, scores and latency."""
    from keras_attention_serving import Client

    rows = [("question", "answer", "score", "latency")]
    with Client(server) as client:
        inputs = _inputs(client, model, signature, settings)
        for text in texts:
            start = time.perf_counter()
            answer = client.predict(model, {"text": [text], **inputs}, signature=signature)
            latency = f"{1000 * (time.perf_counter() - start):.1f} ms"
            # One answer, or the best few, of which only the first has the question beside it.
            for found, score in zip(answer["text"].ravel(), answer["score"].ravel(), strict=True):
                rows.append((text, found.decode("utf-8"), f"{score:.3f}", latency))
                text = latency = ""
    click.echo(table(rows))
