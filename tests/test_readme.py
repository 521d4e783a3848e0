"""What the README shows works as it stands."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.M | re.S)


def test_the_thirty_lines_answer(tmp_path):
    program = "\n".join(blocks("python"))
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    first, second = run.stdout.splitlines()[-2:]
    assert first.startswith("three two one -0.0"), first
    # Three pieces of an answer, aligned with three of the question.
    assert first.endswith("(1, 3, 3)"), first
    assert second == "(2, 3, 5)"


def test_make_targets_are_those_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in ("demo", "test"):
        assert f"make {target}" in README
        assert re.search(rf"^{target}:", makefile, flags=re.M)


def test_commands_exist():
    from keras_attention_command.cli import cli

    shown = set(re.findall(r"^keras-attention (\w+)", README, flags=re.M))
    assert shown == set(cli.commands)


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    local = [link for link in links if not link.startswith("http")]
    assert len(local) >= 4
    for link in local:
        assert (ROOT / link).is_file(), link
