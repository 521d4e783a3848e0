"""Figures of a model on a test set."""

import dataclasses
import time
from pathlib import Path

import click

from keras_attention_command.options import header_option, read, run_option, text_options
from keras_attention_command.quiet import import_tensorflow
from keras_attention_command.settings import METRICS


@click.command()
@run_option
@text_options("test", "Lines to test on; lines with one source are alternatives.")
@header_option
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
    help="Also print this figure; may be repeated.",
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
    pairs = read(test, test_target, skip_header)
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
    scores = [metric(answer_to, pairs) for metric in computed]
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
