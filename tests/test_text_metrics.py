"""Figures over lines: numbers worked out by hand, and those of sacrebleu's own command."""

import json
import subprocess
import sys

import pytest

from keras_attention.training import report, text_metrics

ANSWERS = ["the cat sat on the mat today", "a dog Barks"]
TARGETS = ["the cat is on the mat today", "a dog barks"]


def score(metric, answers, targets):
    """The figure for lines whose sources are all different."""
    pairs = [(f"source {i}", target) for i, target in enumerate(targets)]
    return metric({f"source {i}": answer for i, answer in enumerate(answers)}, pairs)


def by_the_command(tmp_path, *options):
    """The figure that `sacrebleu` prints for the same lines."""
    for name, lines in (("answers", ANSWERS), ("targets", TARGETS)):
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    files = [tmp_path / "targets", "-i", tmp_path / "answers"]
    command = [sys.executable, "-m", "sacrebleu", *files, *options, "-w", "6"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return found["score"], found["signature"]


@pytest.mark.parametrize(
    ("name", "settings", "options"),
    [
        ("bleu", {}, ["-m", "bleu"]),
        ("bleu", {"tokenize": "none"}, ["-m", "bleu", "--tokenize", "none", "--force"]),
        ("bleu", {"lowercase": True}, ["-m", "bleu", "-lc"]),
        ("chrf", {}, ["-m", "chrf"]),
        ("chrf", {"lowercase": True}, ["-m", "chrf", "--chrf-lowercase"]),
        ("ter", {}, ["-m", "ter", "--ter-case-sensitive"]),
        ("ter", {"lowercase": True}, ["-m", "ter"]),
    ],
)
def test_figures_are_those_of_sacrebleu(tmp_path, name, settings, options):
    found = score(text_metrics.metric(name, **settings), ANSWERS, TARGETS)
    value, signature = by_the_command(tmp_path, *options)
    assert found.value == pytest.approx(value, abs=1e-5)
    assert found.signature == signature


def test_bleu_by_hand():
    """4 tokens of 4, 3 pairs, 2 triples and the one of four match: 100; a short answer is less."""
    bleu = text_metrics.metric("bleu")
    assert score(bleu, ["a b c d"], ["a b c d"]).value == pytest.approx(100)
    # All that is there matches, and exp(1 - 5 / 4) is left of it.
    assert score(bleu, ["a b c d"], ["a b c d e"]).value == pytest.approx(77.8800783)


def test_token_error_rate():
    rate = text_metrics.metric("token-error-rate")
    # One substitution of 7 tokens, one of 3; an insertion; all three missing.
    assert score(rate, ANSWERS, TARGETS).value == pytest.approx(100 * 2 / 10)
    assert score(rate, ["x y z"], ["x z"]).value == pytest.approx(50)
    assert score(rate, [""], ["K AE T"]).value == pytest.approx(100)
    lower = text_metrics.metric("token-error-rate", lowercase=True)
    assert score(lower, ANSWERS, TARGETS).value == pytest.approx(10)
    assert str(score(lower, ANSWERS, TARGETS)) == "token error rate 10.00  case:lc|tok:blanks"


def test_lines_and_sources():
    """BLEU is over lines, the error rate over sources and the nearest of their targets."""
    answers = {"cat": "K AE T", "dog": "D AO G"}
    pairs = [("cat", "K AE"), ("dog", "D AA G"), ("cat", "K AE T S"), ("dog", "D AO G Z")]
    # One phoneme too many for "K AE", of 2; one other of the 3 of "D AA G".
    rate = text_metrics.metric("token-error-rate")(answers, pairs)
    assert rate.value == pytest.approx(100 * 2 / 5)
    lines = [answers[source] for source, _ in pairs]
    targets = [target for _, target in pairs]
    bleu = text_metrics.metric("bleu")
    assert bleu(answers, pairs) == score(bleu, lines, targets)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("rouge",), r"^Expected a metric of bleu, chrf, .*\. Received: 'rouge'$"),
        (("bleu", "14a"), r"^Expected a tokenizer of 13a, .*\. Received: tokenize='14a'$"),
    ],
)
def test_errors(arguments, error):
    with pytest.raises(ValueError, match=error):
        text_metrics.metric(*arguments)


def test_report(tmp_path):
    report.write(tmp_path / "new" / "a.json", {"BLEU": 12.5}, run=tmp_path, lines=7)
    found = json.loads((tmp_path / "new" / "a.json").read_text())
    assert found["figures"] == {"BLEU": 12.5}
    assert (found["run"], found["lines"]) == (str(tmp_path), 7)
    assert set(found["versions"]) == set(report.PACKAGES)
    assert found["versions"]["keras"] and found["machine"]["python"]
