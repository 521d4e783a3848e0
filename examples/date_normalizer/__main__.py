"""The demo: trains the date normaliser, exports, serves and queries it, and draws alignments.

python -m date_normalizer [--folder runs/date_normalizer] [--models saved_models]
"""

import argparse
import contextlib
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from keras_attention_command.quiet import import_tensorflow

from . import corpus, peer

MODEL = "date_normalizer"
LINES = 280_000  # read once in a minute on two cores
# Of dates, formats held out and lines. All settings were chosen with the corpus of seed 0.
SEED = 1
QUESTIONS = (
    "de: 3. Mai 2019",
    "en_GB: Fri, 3rd  may 2019",
    "en_US: 05/03/2019",
    "en_GB: 05/03/2019",
    "fr: dimanche 1er septmbre 1963",
    "ru: 12 апреля 1961 г.",
    "el: Τρίτη 29 Μαΐου 1953",
    "ja: 2021年7月23日(金)",
)
PICTURES = (0, 1, 4, 5)  # of the questions; a script that every matplotlib can write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs") / MODEL)
    parser.add_argument("--models", type=Path, default=Path("saved_models"))
    parser.add_argument("--lines", type=int, default=LINES, help="to train on")
    options = parser.parse_args()
    import_tensorflow()
    console = Console()

    console.rule("1  train")
    console.print(f"Writing dates of {len(corpus.LOCALES)} locales to {options.folder}")
    paths = corpus.write(options.folder, SEED, sizes={**corpus.SIZES, "train": options.lines})
    folder, seconds = train(paths, options.folder, console)
    console.print(f"Training took {seconds:.0f} s")
    compare(folder, paths, console)

    console.rule("2  export")
    version = export(folder, options.models / MODEL)
    console.print(f"Wrote {version}")

    console.rule("3  serve and ask")
    with serving(options.models / MODEL) as address:
        answers = ask(address, console)

    console.rule("4  alignments")
    from keras_attention.plotting import save_alignment

    for number in PICTURES:
        path = options.folder / "alignments" / f"{number + 1}.png"
        save_alignment(path, answers[number], title=QUESTIONS[number])
        console.print(f"Wrote {path}")


def train(paths, run_folder, console):
    """Trains as `keras-attention train` does; returns the run folder and the seconds of `fit`."""
    import shutil

    from keras_attention.text import read_pairs
    from keras_attention.training.run_folder import RunFolder
    from keras_attention.training.trainer import train
    from keras_attention_command.settings import Settings

    settings = Settings(
        attention="bahdanau",
        units=48,
        attention_units=32,
        embedding_dim=32,
        source_tokenizer="char",
        target_tokenizer="char",
        normalization="nfkc_cf",  # MAY is may
        source_symbols=tuple(f"{locale}:".lower() for locale in corpus.LOCALES),
        target_symbols=("-0", "-1", "-2", "-3"),  # fewer steps than with lone hyphens
        batch_size=256,
        epochs=1,
        validations_per_epoch=3,
        learning_rate=1.6e-2,
        beta_2=0.95,
        max_length=16,
    )
    shutil.rmtree(run_folder / "model", ignore_errors=True)
    folder = RunFolder(run_folder / "model")
    train_pairs, dev_pairs = read_pairs(paths["train"]), read_pairs(paths["dev"])
    start = time.perf_counter()
    train(folder, train_pairs, dev_pairs, settings, console)
    return folder, time.perf_counter() - start


def compare(folder, paths, console):
    """Exact match of the model, and of dateparser on the same lines."""
    from keras_attention.text import read_pairs
    from keras_attention.training import evaluation

    model, tokenizers = folder.load_model(), folder.tokenizers()
    table = Table("test set", "lines", "this model", "dateparser", title="exact match")
    for name, title in (
        ("test_dates", "unseen dates, known formats"),
        ("test_formats", "unseen dates, formats unseen in the language"),
    ):
        sources, targets = zip(*read_pairs(paths[name]), strict=True)
        answers = evaluation.answer_all(model, tokenizers, sources, 16, console=console)
        right = sum(a == t for a, t in zip(answers, targets, strict=True)) / len(targets)
        others = peer.exact_match(sources, targets)
        table.add_row(title, str(len(targets)), f"{right:.2%}", f"{others:.2%}")
    console.print(table)


def export(folder, path):
    """Exports the model with its questions as warm-up; returns the folder of the version."""
    import keras_attention

    source, target = folder.tokenizers()
    return keras_attention.export(
        folder.load_model(),
        path,
        source_tokenizer=source,
        target_tokenizer=target,
        max_length=folder.settings().max_length,
        searches=(),  # the likeliest date is all that is asked for, and the server starts sooner
        warmup=QUESTIONS[:2],
    )


@contextlib.contextmanager
def serving(path):
    """Runs the embedded server as a process of its own; yields its address."""
    command = [sys.executable, "-m", "keras_attention_serving", "--free_port"]
    command += [f"--model_name={MODEL}", f"--model_base_path={path.resolve()}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline()
            print(line, end="")
            yield "localhost:" + line.rstrip().rpartition(":")[2]
        finally:
            server.terminate()


def ask(address, console):
    """Asks the questions and prints a table; returns the answers."""
    from keras_attention_serving import Client

    table = Table("question", "answer", "score", "latency")
    answers = []
    with Client(address) as client:
        for question in QUESTIONS:
            start = time.perf_counter()
            answer = client.predict(MODEL, {"text": [question]})
            milliseconds = 1000 * (time.perf_counter() - start)
            answers.append(answer)
            text, score = answer["text"][0].decode(), answer["score"][0]
            table.add_row(question, text, f"{score:.4f}", f"{milliseconds:.1f} ms")
    console.print(table)
    return answers


if __name__ == "__main__":
    main()
