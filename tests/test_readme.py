"""What the README shows works as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "serving/README.md")),
    *sorted(ROOT.glob("docs/*.md")),
]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.M | re.S)


def block(beginning):
    """The only block of Python that begins so."""
    (code,) = (b for b in blocks("python") if b.startswith(beginning))
    return code


def test_the_code_answers(tmp_path):
    """All blocks as one program: the data come before the export, a server before the query."""
    layer = block("import keras\n")
    data = block("from keras_attention.text import")
    export = block("reverser = ka.RNNSeq2Seq(")
    query = block("from keras_attention_serving import Client")
    server = block("from keras_attention_serving.server import Server")
    first = block("tokens = keras.Input(")
    shown = [layer, data, export, query, server, first]
    assert sorted(shown) == sorted(blocks("python"))
    program = [
        *(layer, first, data, export),
        "from keras_attention_serving.server import Server as Embedded",
        'embedded = Embedded({"reverser": "saved_models/reverser"}, port=0)',
        query.replace('"localhost:8500"', 'f"localhost:{embedded.port}"'),
        "embedded.stop()",
        server,
    ]
    run = subprocess.run(
        [sys.executable, "-c", "\n".join(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    first, second = run.stdout.splitlines()[-2:]
    # As the comment in the block says: three target pieces, aligned with three source pieces.
    assert first == "[b'three two one'] (1, 3, 3)"
    assert query.rstrip().endswith("# " + first)
    assert second == "[b'six five four']"


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


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/*.md")), ids=lambda path: path.name)
def test_every_page_of_docs_is_linked(page):
    assert f"(docs/{page.name})" in README


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_lines_have_at_most_120_characters(page):
    """But for tables, headings and lines with a link."""
    lines = page.read_text("utf-8").splitlines()
    assert not [
        line
        for line in lines
        if len(line) > 120 and not line.startswith(("|", "#")) and "](" not in line
    ]
