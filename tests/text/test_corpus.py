import gzip

import pytest

from keras_attention.text import CorpusError, read_pairs, read_parallel

GOOD = "ein Haus\ta house\nzwei Bäume\ttwo trees\n"
PAIRS = [("ein Haus", "a house"), ("zwei Bäume", "two trees")]
BOM = b"\xef\xbb\xbf"


@pytest.fixture
def write(tmp_path):
    def write(data, name="pairs.tsv"):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        GOOD.rstrip("\n"),
        GOOD.replace("\n", "\r\n"),
        BOM + GOOD.encode(),
        BOM + GOOD.replace("\n", "\r\n").encode(),
    ],
    ids=["plain", "no_last_newline", "crlf", "bom", "bom_crlf"],
)
def test_pairs(write, data):
    assert read_pairs(write(data)) == PAIRS


def test_gzip(write):
    assert read_pairs(write(gzip.compress(GOOD.encode(), mtime=0), "pairs.tsv.gz")) == PAIRS


def test_a_path_may_be_a_string(write):
    assert read_pairs(str(write(GOOD))) == PAIRS


def test_blanks_and_strange_line_ends_are_text(write):
    odd = "a\u2028b \t c\x0bd\x0ce\n"
    assert read_pairs(write(odd)) == [("a\u2028b ", " c\x0bd\x0ce")]


def test_parallel(write):
    source = write("ein Haus\nzwei\tBäume\n", "source.de")
    target = write(BOM + b"a house\r\ntwo trees", "target.en")
    assert read_parallel(source, target) == [("ein Haus", "a house"), ("zwei\tBäume", "two trees")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a\tb\nno tab\n", "2: Expected two columns.*Received: 1 column$"),
        ("a\tb\nc\td\ne\tf\tg\n", "3: Expected two columns.*Received: 3 columns$"),
        ("a\tb\n\nc\td\n", "2: Expected two columns.*Received: 1 column$"),
        ("a\tb\n  \td\n", "2: Expected a source text. Received: '  '$"),
        ("a\t\nc\td\n", "1: Expected a target text. Received: ''$"),
        (b"a\tb\nc\td\xfc\n", "2: Expected UTF-8. Received: byte 0xfc at position 4 of the line$"),
        (b"\xff\xfea\x00\t\x00", "1: Expected UTF-8. Received: byte 0xff at position 1"),
        ("", " Expected at least one line. Received: an empty file$"),
        (BOM, " Expected at least one line. Received: an empty file$"),
        ("\n", "1: Expected two columns.*Received: 1 column$"),
    ],
)
def test_bad_pairs(write, data, message):
    path = write(data)
    with pytest.raises(CorpusError, match=f"^{path}:{message}"):
        read_pairs(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(GOOD.encode(), mtime=0)[:-5], "a gzip file"),
        (gzip.compress(GOOD.encode(), mtime=0)[:7], "a gzip file"),
        (GOOD.encode(), "a gzip file"),
        (gzip.compress(GOOD.encode(), mtime=0) + b"more", "a gzip file"),
        (gzip.compress(GOOD.encode(), mtime=0)[:20] + b"\0" * 40, "a gzip file"),
        (b"", "at least one line. Received: an empty file"),
        (gzip.compress(b"", mtime=0), "at least one line. Received: an empty file"),
    ],
    ids=["truncated", "header", "plain", "more", "broken", "empty", "empty_inside"],
)
def test_bad_gzip(write, data, message):
    path = write(data, "pairs.tsv.gz")
    with pytest.raises(CorpusError, match=f"^{path}: Expected {message}"):
        read_pairs(path)


def test_no_file(tmp_path, write):
    missing = tmp_path / "missing.tsv"
    with pytest.raises(CorpusError, match=f"^{missing}: .*nothing of that name$"):
        read_pairs(missing)
    with pytest.raises(CorpusError, match=f"^{tmp_path}: .*Received: a folder$"):
        read_pairs(tmp_path)
    inside_a_file = write(GOOD) / "pairs.tsv"
    with pytest.raises(CorpusError, match=f"^{inside_a_file}: .*nothing of that name$"):
        read_pairs(inside_a_file)
    with pytest.raises(CorpusError, match="readable file. Received: File name too long"):
        read_pairs(tmp_path / ("a" * 300))


def test_bad_parallel_files(write, tmp_path):
    source, target = write("a\nb\nc\n", "source"), write("d\ne\n", "target")
    with pytest.raises(CorpusError, match=f"lines in {target} as in {source}. Received: 2 and 3$"):
        read_parallel(source, target)
    target = write("d\n \nf\n", "target")
    with pytest.raises(CorpusError, match=f"^{target}:2: Expected a target text. Received: ' '$"):
        read_parallel(source, target)
    with pytest.raises(CorpusError, match=f"^{target}:2: Expected a source text"):
        read_parallel(target, source)
    with pytest.raises(CorpusError, match=f"^{tmp_path / 'missing'}: "):
        read_parallel(source, tmp_path / "missing")
