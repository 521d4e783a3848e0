"""Training of a model."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from keras_attention_command.options import (
    header_option,
    read,
    run_option,
    settings_options,
    text_options,
)
from keras_attention_command.quiet import import_tensorflow
from keras_attention_command.settings import Settings


@click.command()
@text_options("train", "Training lines: source, tab, target; UTF-8, plain or .gz; or .csv.")
@text_options(
    "dev", "Development lines, which choose the best model; else a tenth is held back.", False
)
@header_option
@run_option
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the run, as if it had not been stopped; with --epochs also beyond its end.",
)
@settings_options
@click.pass_context  # type: ignore[arg-type]
def train(
    context: click.Context,
    train: Path,
    train_target: Path | None,
    dev: Path | None,
    dev_target: Path | None,
    skip_header: bool,
    run: Path,
    resume: bool,
    **settings: Any,
) -> None:
    """Trains a model. Ctrl-C keeps the best so far; --resume goes on with the run."""
    import signal

    import_tensorflow()
    from rich.console import Console

    from keras_attention.training import trainer as training
    from keras_attention.training.advice import advise
    from keras_attention.training.holdout import hold_back
    from keras_attention.training.run_folder import RunFolder

    console = Console()
    folder = RunFolder(run)
    given = {n for n in settings if context.get_parameter_source(n) is not ParameterSource.DEFAULT}
    if resume and not folder.exists():
        raise ValueError(f"{run}: Expected a run with a model to go on from. Received: none")
    if resume and given - {"epochs"}:
        others = (n for n in settings if n in given - {"epochs"})
        raise ValueError(
            "Expected no settings but --epochs along with --resume, which keeps those of the run. "
            f"Received: {', '.join('--' + name.replace('_', '-') for name in others)}"
        )
    chosen = Settings(**settings)
    if not resume:
        folder.check_new()
    train_pairs, held = read(train, train_target, skip_header), ""
    if dev:
        dev_pairs = read(dev, dev_target, skip_header)
    elif dev_target:
        raise ValueError("Expected --dev along with --dev-target. Received: none")
    else:
        seed = folder.settings().seed if resume else chosen.seed
        train_pairs, dev_pairs = hold_back(train_pairs, seed)
        held = f", held back from {train} with seed {seed}"
    click.echo(f"{len(train_pairs)} lines to train on, {len(dev_pairs)} to choose by{held}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops as Ctrl-C does
    try:
        if resume:
            epochs = chosen.epochs if given else None
            history = training.resume(folder, train_pairs, dev_pairs, console, epochs)
            if not history.epoch:
                done = folder.settings().epochs
                click.echo(
                    f"Nothing left to do: all {done} epochs are done; --epochs asks for more."
                )
        else:
            history = training.train(folder, train_pairs, dev_pairs, chosen, console)
    except KeyboardInterrupt:
        if folder.has_model():
            click.echo(f"Stopped. The best model so far is in {run}; --resume goes on from it.")
        raise
    state = folder.state()
    passes = state["epoch"] / folder.settings().validations_per_epoch
    click.echo(f"Best model: after {passes:.3g} epochs, loss {state['best']:.4f}, in {run}")
    losses = history.history.get("val_loss", [])
    for line in advise(losses, folder.settings(), folder.tokenizers(), dev_pairs):
        click.echo(line)
