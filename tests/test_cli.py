"""The command: bad input is one line and exit status 2; the whole path from text to picture."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from keras_attention_command import cli
from tests.tiny_run import DEV, TRAIN, trained, write_pairs

SMALL = (
    "--source-tokenizer char --target-tokenizer char --units 5 --batch-size 64 --epochs 1".split()
)


def run(*arguments):
    with pytest.raises(SystemExit) as exit_:
        cli.main([str(a) for a in arguments])
    return exit_.value.code


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    write_pairs(folder / "train.tsv", TRAIN)
    write_pairs(folder / "dev.tsv", DEV)
    (folder / "one_column.tsv").write_text("a\tb\nno tab here\n")
    (folder / "latin1.tsv").write_bytes("a\tb\nc\tä\n".encode("latin-1"))
    (folder / "empty.tsv").touch()
    (folder / "one.tsv").write_text("a\tb\na\tc\n")
    (folder / "three_lines.txt").write_text("a\nb\nc\n")
    (folder / "empty_model").mkdir()
    return folder


TRAIN_OPTIONS = "train --train {f}/train.tsv --dev {f}/dev.tsv --run {f}/new"
BAD = [
    ("train --train {f}/one_column.tsv --dev {f}/dev.tsv --run {f}/new", "one_column.tsv:2: Exp"),
    ("train --train {f}/latin1.tsv --dev {f}/dev.tsv --run {f}/new", "latin1.tsv:2: Expected UTF"),
    ("train --train {f}/train.tsv --dev {f}/empty.tsv --run {f}/new", "empty.tsv: Expected at"),
    ("train --train {f}/none.tsv --dev {f}/dev.tsv --run {f}/new", "none.tsv: Expected a file"),
    ("train --train {f} --dev {f}/dev.tsv --run {f}/new", "Received: a folder"),
    (
        "train --train {f}/train.tsv --train-target {f}/three_lines.txt --dev {f}/dev.tsv "
        "--run {f}/new",
        "Received: 3 and 200",
    ),
    ("train --dev {f}/train.tsv --run {f}/new", "Missing option '--train'"),
    (
        "train --train {f}/train.tsv --dev-target {f}/train.tsv --run {f}/new",
        "--dev along with --dev-target",
    ),
    ("train --train {f}/one.tsv --run {f}/new", "one.tsv: Expected --dev, or two different sour"),
    ("train --train {f}/train.tsv --dev {f}/dev.tsv --run {run}", "Expected a new folder"),
    (TRAIN_OPTIONS + " --resume", "Expected a run with a model to go on from"),
    (
        "train --train {f}/train.tsv --dev {f}/dev.tsv --run {run} --resume --epochs 9 --units 3",
        "but --epochs along with --resume, .*Received: --units$",
    ),
    (TRAIN_OPTIONS + " --units 0", "units=0"),
    (TRAIN_OPTIONS + " --looks 0", "validations_per_epoch=0"),  # its former name
    (TRAIN_OPTIONS + " --units many", "'many' is not a valid integer"),
    (
        TRAIN_OPTIONS + " --attention bahdanou --source-tokenizer char --target-tokenizer char",
        "bahdanou",
    ),
    (TRAIN_OPTIONS + " --attention luong-dot", "bidirectional=True"),
    (TRAIN_OPTIONS + " --dropout -0.5", "dropout=-0.5"),
    (TRAIN_OPTIONS + " --dropout 1", "dropout=1.0"),
    (TRAIN_OPTIONS + " --batch-size -1", "batch_size=-1"),
    (TRAIN_OPTIONS + " --epochs -1", "epochs=-1"),
    (TRAIN_OPTIONS + " --cell rnn", "cell='rnn'"),
    (TRAIN_OPTIONS + " --query next", "query='next'"),
    (TRAIN_OPTIONS + " --source-tokenizer syllable", "kind='syllable'"),
    (TRAIN_OPTIONS + " --normalization nfd", "normalization='nfd'"),
    (
        TRAIN_OPTIONS + " --target-vocabulary 3",
        "target texts, --target-tokenizer, --target-vocabulary: .*vocabulary_size=3",
    ),
    (TRAIN_OPTIONS + " --seed -1", "seed=-1"),
    ("evaluate --run {f}/none --test {f}/dev.tsv", "none: Expected a training run"),
    ("evaluate --run {run} --test {f}/one_column.tsv", "one_column.tsv:2"),
    ("export --run {f}/none --to {f}/m", "none: Expected a training run"),
    ("export --run {run} --to {f}/m --version 0", "positive integer. Received: 0"),
    ("export --run {run} --to {f}/m --max-source-length 0", "0 is not in the range"),
    ("export --run {run} --to {f}/m --warmup-batch-size 0", "0 is not in the range"),
    ("export --run {run} --to {f}/m --preset best", "Expected NAME=VALUE. Received: 'best'"),
    ("export --run {run} --to {f}/m --preset best=beam,min_length=x", "number. Received: 'x'"),
    ("export --run {run} --to {f}/m --preset best=bean", "a search out of .*Received: best="),
    ("serve {f}/none --port 0", "none"),
    ("serve {f}/empty_model --port 0", "empty_model"),
    ("serve {f}/a/m {f}/b/m", "folders of different names"),
    ("serve {f}/empty_model --port 99999", "99999"),
    ("query --server localhost:1 --model m text", "localhost:1"),
    ("plot --server localhost:1 --model m text --output {f}/a.png", "localhost:1"),
    ("query --model m", "Missing argument 'TEXTS...'"),
    ("query --model m --set seed text", "Expected NAME=VALUE. Received: 'seed'"),
    ("--unknown", "No such option.*--unknown"),
    ("unknown", "No such command 'unknown'"),
]


@pytest.mark.parametrize(("command", "reason"), BAD, ids=[command[:60] for command, _ in BAD])
def test_bad_input_is_one_line_and_status_2(files, capfd, command, reason):
    arguments = [a.format(f=files, run=trained().path) for a in command.split()]
    assert run(*arguments) == 2
    error = capfd.readouterr().err
    # TensorFlow's library writes lines of its own.
    lines = [line for line in error.splitlines() if line.startswith("keras-attention:")]
    assert len(lines) == 1
    assert re.search(reason, lines[0])
    assert "Traceback" not in error
    assert not (files / "new").exists()


def test_a_port_in_use(files, capfd):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run("serve", files / "empty_model", "--port", port) == 2
    assert f"127.0.0.1:{port}" in capfd.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["train", "-h"], ["--version"]])
def test_help_and_version(capsys, arguments):
    assert run(*arguments) == 0
    assert re.search(r"Usage: keras-attention|version \d", capsys.readouterr().out)


def test_without_arguments_there_is_help(capsys):
    assert run() == 2
    assert "Usage: keras-attention" in capsys.readouterr().err


# A shell's background job ignores SIGINT, and so does what it starts.
PROGRAM = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "runpy.run_module('keras_attention_command', run_name='__main__', alter_sys=True)"
)


def start(*arguments):
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": ".:serving", "TF_CPP_MIN_LOG_LEVEL": "3"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env={**environment, "COLUMNS": "160"}, **pipes)


def finish(process, timeout=600):
    try:
        return process.communicate(timeout=timeout)
    finally:
        process.kill()


def test_bad_input_in_a_process_of_its_own(files):
    process = start(
        "train", "--train", files / "latin1.tsv", "--dev", files / "dev.tsv", "--run", files / "n"
    )
    out, error = finish(process)
    assert (process.returncode, out) == (2, ""), error
    assert [x for x in error.splitlines() if x.startswith("keras-attention: ")]
    assert "Traceback" not in error


def test_ctrl_c_keeps_the_run(files, tmp_path):
    folder = tmp_path / "run"
    data = ["--train", files / "train.tsv", "--dev", files / "dev.tsv", "--run", folder]
    process = start("train", *data, *SMALL, "--epochs", 100_000)
    until = time.monotonic() + 120
    while not (folder / "model.keras").exists() and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, error = finish(process)
    assert process.returncode == 130, error
    assert "--resume goes on from it" in out
    assert "Traceback" not in error
    settings = folder / "settings.json"
    settings.write_text(settings.read_text().replace("100000", "1"))
    assert run("train", *data, "--resume") == 0


def test_from_text_to_picture(files, tmp_path, capfd):
    """evaluate, export, serve, query and plot, with a model that was trained before."""
    test = ["--test", files / "dev.tsv"]
    assert (
        run("evaluate", "--run", trained().path, *test, "--output", tmp_path / "new" / "a.tsv") == 0
    )
    assert re.search(r"exact match [\d.]+ %  character error rate", capfd.readouterr().out)
    answers = (tmp_path / "new" / "a.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in answers] == list(dict(DEV))
    beam = ["--beam-width", 3, "--length-penalty", 0.5]
    figures = ["--metric", "bleu", "--metric", "token-error-rate", "--report", tmp_path / "a.json"]
    assert run("evaluate", "--run", trained().path, *test, *beam, *figures) == 0
    shown = capfd.readouterr().out
    assert re.search(r"exact match [\d.]+ %", shown)
    bleu = re.search(r"^BLEU ([\d.]+)  nrefs:1\|case:mixed", shown, re.MULTILINE)[1]
    report = json.loads((tmp_path / "a.json").read_text())
    assert f"{report['figures']['BLEU']:.2f}" == bleu
    assert report["lines"] == len(DEV) and report["beam_width"] == 3
    models = tmp_path / "saved_models" / "dates"
    export = ["export", "--run", trained().path, "--to", models, "--warmup", "3 May 2021"]
    export += ["--preset", "long=beam,length_penalty=1,min_length=4"]
    assert run(*export) == 0
    assert capfd.readouterr().out.strip() == str(models / "1")
    server = start("serve", models, "--port", 0)
    try:
        first = server.stdout.readline()
        address = re.fullmatch(r"Serving dates version 1 on (127.0.0.1:\d+)\n", first)[1]
        asked = ["--server", address, "--model", "dates"]
        assert run("query", *asked, "7 Mar 2011", "[/b] ☃") == 0
        shown = capfd.readouterr().out
        assert "7 Mar 2011" in shown and "[/b] ☃" in shown and " ms" in shown
        beam = ["--signature", "beam", "--set", "length_penalty=1", "--set", "prefix=20"]
        assert run("query", *asked, *beam, "--set", "min_length=4", "7 Mar 2011") == 0
        shown = capfd.readouterr().out
        assert len(re.findall(r"│ 20\S* +│ +-\d", shown)) == 5 and shown.count("7 Mar") == 1
        assert run("query", *asked, "--signature", "long", "7 Mar 2011") == 0
        assert len(re.findall(r"│ +-\d", capfd.readouterr().out)) == 5
        sample = ["--signature", "sample", "--set", "seed=7", "--set", "temperature=0"]
        assert run("query", *asked, *sample, "7 Mar 2011") == 0
        capfd.readouterr()
        for wrong in ("nothing=1", "seed=x"):
            assert run("query", *asked, "--signature", "sample", "--set", wrong, "x") == 2
            assert f"Received: {wrong}" in capfd.readouterr().err
        assert run("plot", *asked, "7 Mar 2011", "--output", tmp_path / "a.png") == 0
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
        assert run("query", "--server", address, "--model", "other", "x") == 2
        error = capfd.readouterr().err
        assert "keras-attention: " in error and "other" in error
    finally:
        server.send_signal(signal.SIGTERM)
        out, _ = finish(server)
    assert "Stopping" in out
    assert server.returncode == 0
