"""Export of a run as a SavedModel."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from keras_attention_command.options import preset, run_option
from keras_attention_command.quiet import import_tensorflow

# Those that `serving/tf_serving/batching.config` allows.
WARMUP_BATCH_SIZES = (1, 4, 16, 64)


@click.command()
@run_option
@click.option("--to", required=True, type=click.Path(path_type=Path), help="saved_models/NAME")
@click.option("--version", type=int, help="Version; by default the next.")
@click.option(
    "--max-source-length",
    type=click.IntRange(1),
    help="Most tokens of a text that are read; by default the setting of the run.",
)
@click.option(
    "--warmup",
    multiple=True,
    help="A text to warm up the server with; repeatable. By default one of the vocabulary.",
)
@click.option("--no-warmup", is_flag=True, help="No requests to warm up the server with.")
@click.option(
    "--warmup-batch-size",
    "warmup_batch_sizes",
    type=click.IntRange(1),
    multiple=True,
    default=WARMUP_BATCH_SIZES,
    show_default=True,
    help="Texts in a request that warms up; repeatable.",
)
@click.option(
    "--searches/--no-searches",
    default=True,
    show_default=True,
    help="Whether servers offer `beam` and `sample`, too; without, they start in half the time.",
)
@click.option(
    "--preset",
    "presets",
    multiple=True,
    metavar="NAME=SEARCH[,SETTING=NUMBER...]",
    callback=lambda c, p, values: dict(preset(value) for value in values),
    help="A signature of beam or sample with settings that no request has to give; repeatable.",
)
def export(
    run: Path,
    to: Path,
    version: int | None,
    max_source_length: int | None,
    warmup: Any,
    no_warmup: Any,
    warmup_batch_sizes: Sequence[int],
    searches: Sequence[str],
    presets: Any,
) -> None:
    """Writes the best model of a run as a SavedModel."""
    import_tensorflow()
    from keras_attention.exporting.export import SEARCHES
    from keras_attention.exporting.export import export as export_model
    from keras_attention.training.run_folder import RunFolder

    folder = RunFolder(run)
    source, target = folder.tokenizers()
    path = export_model(
        folder.load_model(),
        to,
        source_tokenizer=source,
        target_tokenizer=target,
        max_length=folder.settings().max_length,
        searches=SEARCHES if searches else (),
        presets=presets,
        version=version,
        warmup=() if no_warmup else warmup or True,
        warmup_batch_sizes=warmup_batch_sizes,
        max_source_length=max_source_length or folder.settings().max_source_length or None,
    )
    click.echo(path)
