"""The `keras-attention` command: train, evaluate, export, serve, query, plot."""

import dataclasses
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from keras_attention_command.quiet import import_tensorflow, quiet_log
from keras_attention_command.settings import FORMER_NAMES, METRICS, Settings
from keras_attention_command.table import table

if TYPE_CHECKING:  # both are slow to import
    from keras_attention.text.corpus import Corpus
    from keras_attention_serving import Client

# What a user can cause, and mends by reading one line. Anything else is a bug of ours, and shows
# its traceback.
USER_ERRORS = (ValueError, OSError)
# Those that `serving/tf_serving/batching.config` allows.
WARMUP_BATCH_SIZES = (1, 4, 16, 64)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="keras-attention-serving")
def cli() -> None:
    """Trains sequence-to-sequence models with attention, exports, serves and queries them."""


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


def _settings_options(command: Any) -> Any:
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


def _text_options(name: str, help_text: str, required: bool = True) -> Any:
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


def _read(source: Path, target: Path | None, skip_header: bool = False) -> "Corpus":
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


def _setting(text: str) -> tuple[str, str]:
    """`name=value` as a pair."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"Expected NAME=VALUE. Received: {text!r}")
    return name, value


def _number(text: str) -> float:
    """An integer or a decimal number."""
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            raise click.BadParameter(f"Expected a number. Received: {text!r}") from None


def _preset(text: str) -> tuple[str, Any]:
    """`name=search,setting=number,...` as `export` takes it."""
    name, search = _setting(text)
    search, *settings = search.split(",")
    settings = dict(_setting(setting) for setting in settings)
    return name, (search, {name: _number(value) for name, value in settings.items()})


def _inputs(
    client: "Client", model: str, signature: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Settings as the inputs that the signature takes them for."""
    if not settings:
        return {}
    import numpy as np

    known = client.metadata(model).signatures
    known = known[signature].inputs if signature in known else {}
    found = {}
    for name, value in settings.items():
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise ValueError(
                f"Expected settings of signature {signature}: {names}. Received: {name}={value}"
            )
        dtype = known[name].dtype
        try:
            found[name] = [value] if dtype.kind == "O" else np.array([value], dtype)
        except ValueError:
            raise ValueError(f"Expected {name} of {dtype}. Received: {name}={value}") from None
    return found


_run_option = click.option(
    "--run", "run", required=True, type=click.Path(path_type=Path), help="Folder of the run."
)
_header_option = click.option(
    "--skip-header", is_flag=True, help="Leave out a first line that looks like a header."
)
_server_option = click.option(
    "--server", default="localhost:8500", show_default=True, help="HOST:PORT of the server."
)
_model_option = click.option("--model", required=True, help="Name of the model on the server.")


@cli.command()
@_text_options("train", "Training lines: source, tab, target; UTF-8, plain or .gz; or .csv.")
@_text_options(
    "dev", "Development lines, which choose the best model; else a tenth is held back.", False
)
@_header_option
@_run_option
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the run, as if it had not been stopped; with --epochs also beyond its end.",
)
@_settings_options
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
    train_pairs, held = _read(train, train_target, skip_header), ""
    if dev:
        dev_pairs = _read(dev, dev_target, skip_header)
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


@cli.command()
@_run_option
@_text_options("test", "Lines to test on; lines with one source are alternatives.")
@_header_option
@click.option("--output", type=click.Path(path_type=Path), help="Also write source, tab, answer.")
@click.option("--beam-width", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--length-penalty",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Of a beam search: the higher, the longer the answers.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    type=click.Choice(METRICS),
    help="Also print this figure, over all lines with one target each; may be repeated.",
)
@click.option(
    "--tokenize",
    default="13a",
    show_default=True,
    help='Tokenizer of sacrebleu for BLEU; "none" for lines that are tokenized already.',
)
@click.option("--lowercase", is_flag=True, help="Compute the figures of --metric without case.")
@click.option("--report", type=click.Path(path_type=Path), help="Also write all figures as JSON.")
def evaluate(
    run: Path,
    test: Path,
    test_target: Path | None,
    skip_header: bool,
    output: Path | None,
    beam_width: int,
    length_penalty: float,
    metrics: tuple[str, ...],
    tokenize: str,
    lowercase: bool,
    report: Path | None,
) -> None:
    """Prints how many answers are right, the character error rate, and other figures."""
    import_tensorflow()
    from keras_attention.training import evaluation, text_metrics
    from keras_attention.training.report import write
    from keras_attention.training.run_folder import RunFolder

    computed = [text_metrics.metric(name, tokenize, lowercase) for name in metrics]
    folder = RunFolder(run)
    model, tokenizers = folder.load_model(), folder.tokenizers()
    pairs = _read(test, test_target, skip_header)
    references = evaluation.targets_by_source(pairs)
    sources = list(references)
    begun = time.perf_counter()
    answers = evaluation.answer_all(
        model,
        tokenizers,
        sources,
        folder.settings().max_length,
        beam_width=beam_width,
        length_penalty=length_penalty,
    )
    seconds = time.perf_counter() - begun
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{s}\t{a}\n" for s, a in zip(sources, answers, strict=True)]
        output.write_text("".join(lines), "utf-8")
    result = evaluation.quality(answers, list(references.values()), tokenizers[1].normalize)
    click.echo(
        f"exact match {100 * result.exact_match:.2f} %  "
        f"character error rate {100 * result.error_rate:.2f} %  sources {result.sources}"
    )
    answer_to = dict(zip(sources, answers, strict=True))
    scores = [
        score([answer_to[source] for source, _ in pairs], [target for _, target in pairs])
        for score in computed
    ]
    for score in scores:
        click.echo(score)
    if report:
        figures = {
            "exact match": 100 * result.exact_match,
            "character error rate": 100 * result.error_rate,
            **{score.name: score.value for score in scores},
        }
        write(
            report,
            figures,
            signatures={score.name: score.signature for score in scores},
            run=run,
            settings=dataclasses.asdict(folder.settings()),
            test=test,
            lines=len(pairs),
            sources=result.sources,
            beam_width=beam_width,
            length_penalty=length_penalty,
            seconds=round(seconds, 2),
        )


@cli.command()
@_run_option
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
    callback=lambda c, p, values: dict(_preset(value) for value in values),
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


@cli.command()
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


@cli.command()
@_server_option
@_model_option
@click.option(
    "--signature", default="serving_default", show_default=True, help="Or: beam, sample, a preset."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    callback=lambda c, p, values: dict(_setting(value) for value in values),
    help="An input beside the text, such as length_penalty=0.6 or seed=7; repeatable.",
)
@click.argument("texts", nargs=-1, required=True)
def query(server: str, model: str, signature: str, settings: Any, texts: Iterable[str]) -> None:
    """Asks a served model TEXTS and prints question, answers, scores and latency."""
    import time

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


@cli.command()
@_server_option
@_model_option
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
