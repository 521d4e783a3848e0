"""Reads parallel text: two columns of one file, or the lines of two files."""

import gzip
import zlib
from pathlib import Path


class CorpusError(ValueError):
    """A file that cannot be read as parallel text; says which, and in which line."""


def read_pairs(path):
    """Reads `source<TAB>target` lines, UTF-8, plain or `.gz`.

    Returns:
        List of (source, target).

    Raises:
        CorpusError: no such file, an empty file, a line without exactly two columns that hold
            something, or one that is not UTF-8.
    """
    pairs = []
    for number, line in enumerate(_read_lines(path), start=1):
        columns = line.split("\t")
        if len(columns) != 2:
            raise CorpusError(
                f"{path}:{number}: Expected two columns, source and target, with a tab between. "
                f"Received: {len(columns)} column{'s' * (len(columns) > 1)}"
            )
        for name, column in zip(("source", "target"), columns, strict=True):
            _check_not_blank(path, number, name, column)
        pairs.append((columns[0], columns[1]))
    return pairs


def read_parallel(source_path, target_path):
    """Reads two files, UTF-8, plain or `.gz`, whose lines with one number belong together.

    Returns:
        List of (source, target).

    Raises:
        CorpusError: as for `read_pairs`, or files of different length.
    """
    sources, targets = _read_lines(source_path), _read_lines(target_path)
    if len(sources) != len(targets):
        raise CorpusError(
            f"Expected as many lines in {target_path} as in {source_path}. "
            f"Received: {len(targets)} and {len(sources)}"
        )
    pairs = list(zip(sources, targets, strict=True))
    for number, (source, target) in enumerate(pairs, start=1):
        _check_not_blank(source_path, number, "source", source)
        _check_not_blank(target_path, number, "target", target)
    return pairs


def _check_not_blank(path, number, name, text):
    if not text.strip():
        raise CorpusError(f"{path}:{number}: Expected a {name} text. Received: {text!r}")


def _read_lines(path):
    path = Path(path)
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (FileNotFoundError, NotADirectoryError):
        raise CorpusError(f"{path}: Expected a file. Received: nothing of that name") from None
    except IsADirectoryError:
        raise CorpusError(f"{path}: Expected a file. Received: a folder") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(f"{path}: Expected a gzip file. Received: {error}") from None
    except OSError as error:
        raise CorpusError(f"{path}: Expected a readable file. Received: {error.strerror}") from None
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")  # a byte order mark is no text
    if lines[-1] == b"":
        lines.pop()
    if not lines:
        raise CorpusError(f"{path}: Expected at least one line. Received: an empty file")
    return [_decode(path, number, line) for number, line in enumerate(lines, start=1)]


def _decode(path, number, line):
    try:
        return line.removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path}:{number}: Expected UTF-8. "
            f"Received: byte 0x{line[error.start]:02x} at position {error.start + 1} of the line"
        ) from None
