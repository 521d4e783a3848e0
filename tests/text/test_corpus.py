import csv
import gzip
import os

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
        GOOD + "\n",
        GOOD + "\r\n \n\t\n",
    ],
    ids=["plain", "no_last_newline", "crlf", "bom", "bom_crlf", "blank_line", "blank_lines"],
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
        (b"\xff\xfea\x00\t\x00", " Expected text in UTF-8. Received: UTF-16$"),
        ("a\tb\n".encode("utf-16-be"), "1: Expected text in UTF-8.*NUL byte, as in UTF-16$"),
        ("Bäume\ttrees\n".encode("utf-16-le"), "1: Expected text in UTF-8.*as in UTF-16$"),
        ("a\tb\n".encode("utf-32"), " Expected text in UTF-8. Received: UTF-32$"),
        (
            gzip.compress(b"a\tb", mtime=0),
            " Expected text in UTF-8. Received: a gzip file, whose name",
        ),
        (b"PK\x03\x04a\tb", " Expected text in UTF-8. Received: a zip file"),
        (b"a\tb\n" + b"\0" * 97, "2: Expected text in UTF-8.*NUL byte, as in a binary file$"),
        ("a,b\n", "1: Expected two columns.*1 column, with a comma: a CSV file has to be named"),
        ("a\tb\n" + "c" * 2**26, "2: Expected a line of less than 67108864 bytes"),
        ("", " Expected at least one line. Received: an empty file$"),
        (BOM, " Expected at least one line. Received: an empty file$"),
        ("\n", " Expected at least one line. Received: an empty file$"),
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


CSV = 'ein Haus,a house\n"zwei\nBäume","two ""trees"", tall"\n\n,\n'
CSV_PAIRS = [("ein Haus", "a house"), ("zwei\nBäume", 'two "trees", tall')]


@pytest.mark.parametrize("name", ["pairs.csv", "PAIRS.CSV"])
@pytest.mark.parametrize("data", [CSV, BOM + CSV.replace("\n", "\r\n", 1).encode()])
def test_csv(write, name, data):
    found = read_pairs(write(data, name))
    assert found == CSV_PAIRS
    assert found.where(1).endswith(f"{name}:2")


def test_more_csv(write):
    assert read_pairs(write("a b;c\nd;e\n", "pairs.csv")) == [("a b", "c"), ("d", "e")]
    assert read_pairs(write(gzip.compress(CSV.encode()), "pairs.csv.gz")) == CSV_PAIRS
    long = "q" * 200_003
    assert read_pairs(write(f"a,{long}\n", "long.csv")) == [("a", long)]
    assert csv.field_size_limit() == 131072
    sources, targets = write('"a, b"\nc\n', "a.csv"), write("d\ne\n", "b.txt")
    assert read_parallel(sources, targets) == [("a, b", "d"), ("c", "e")]
    for data, message in (
        ("a,b\nc,d,e\n", "2: Expected two columns.*a comma between. Received: 3 columns$"),
        ('a,b\n"c,d\n', "2: Expected CSV. Received: unexpected end of data"),
        ("\n,\n", " Expected at least one line. Received: an empty file"),
    ):
        path = write(data, "bad.csv")
        with pytest.raises(CorpusError, match=f"^{path}:{message}"):
            read_pairs(path)
    with pytest.raises(CorpusError, match="Expected one column, since.*Received: 2 columns"):
        read_parallel(write("a,b\n", "a.csv"), targets)


def test_a_line_of_blanks_among_others_is_an_error(write):
    path = write("a\tb\n\n\nc\td\n\n")
    with pytest.raises(CorpusError, match=f"^{path}:2: Expected two columns"):
        read_pairs(path)


@pytest.mark.parametrize(
    ("first", "noticed"),
    [
        *(
            ("source\ttarget", True),
            ("SRC\tTGT", True),
            ("en\tde", True),
            ("input text\tlabel", True),
        ),
        *(("source\tQuelle", False), ("ein Haus\ta house", False), ("x\tx", False)),
    ],
)
def test_headers_are_noticed(write, first, noticed):
    pairs = read_pairs(write(f"{first}\nein Baum\ta tree\n"))
    assert (pairs.header is not None) == noticed
    again = read_pairs(write(f"{first}\nein Baum\ta tree\n{first}\n"))
    assert again.header is None


def test_what_is_no_file_ends_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CorpusError, match="Expected a file. Received: a pipe"):
        read_pairs(tmp_path / "pipe")
    for device in ("/dev/zero", "/dev/null"):
        with pytest.raises(CorpusError, match=f"^{device}: Expected a file. Received: a device$"):
            read_pairs(device)
    with (tmp_path / "zeros").open("wb") as zeros:
        zeros.truncate(2**31)
    with pytest.raises(CorpusError, match="zeros:1: .*a NUL byte, as in a binary file$"):
        read_pairs(tmp_path / "zeros")
