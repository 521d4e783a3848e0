"""Lines of text files, read one after the other and checked as they come."""

import contextlib
import csv
import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LONGEST_LINE = 2**26  # bytes; what has no line end for as long is no text
_MARKS = {  # of files that are no text in UTF-8, longer ones first
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\x1f\x8b": "a gzip file, whose name has to end in .gz",
    b"PK\x03\x04": "a zip file, as spreadsheets are: save it as CSV",
}


class CorpusError(ValueError):
    """A file that cannot be read as parallel text; says which, and in which line."""


def read_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Lines of a text file, UTF-8, plain or `.gz`.

    Yields:
        `(number, text)` from 1 on, without line ends; blank lines at the end are none.

    Raises:
        CorpusError: no regular file, an empty one, or a line that is not UTF-8.
    """
    blank = []
    last = 0
    for last, data in enumerate(_read_data(path), start=1):
        text = _decode(path, last, data)
        if not text.strip():
            blank.append((last, text))
            continue
        yield from blank
        blank.clear()
        yield last, text
    if last == len(blank):
        raise CorpusError(f"{path}: Expected at least one line. Received: an empty file")


def read_csv(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """Records of a CSV file, UTF-8, plain or `.gz`; with commas, or semicolons if it has no comma.

    Yields:
        `(number, columns)`, the number of its first line; blank records are none.

    Raises:
        CorpusError: as for `read_lines`, or no CSV.
    """
    lines = [_decode(path, n, data) for n, data in enumerate(_read_data(path), start=1)]
    first = next((line for line in lines if line.strip()), "")
    delimiter = ";" if ";" in first and "," not in first else ","
    before = csv.field_size_limit(LONGEST_LINE)
    number, found = 1, False
    reader = csv.reader((line + "\n" for line in lines), delimiter=delimiter, strict=True)
    try:
        while (columns := next(reader, None)) is not None:
            if any(column.strip() for column in columns):
                found = True
                yield number, columns
            number = reader.line_num + 1
    except csv.Error as error:
        raise CorpusError(f"{path}:{number}: Expected CSV. Received: {error}") from None
    finally:
        csv.field_size_limit(before)
    if not found:
        raise CorpusError(f"{path}: Expected at least one line. Received: an empty file")


def is_csv(path: str | Path) -> bool:
    """Says whether the name is that of a CSV file."""
    return Path(path).name.lower().removesuffix(".gz").endswith(".csv")


def _read_data(path: str | Path) -> Iterator[bytes]:
    """Bytes of each line, without line ends."""
    path = Path(path)
    with _readable(path):
        _check_regular(path)
        with path.open("rb") as plain, _content(path, plain) as file:
            start = file.peek(4)[:4]
            for mark, name in _MARKS.items():
                if start.startswith(mark):
                    raise CorpusError(f"{path}: Expected text in UTF-8. Received: {name}")
            number, data = 0, file.readline(LONGEST_LINE).removeprefix(b"\xef\xbb\xbf")
            while data:
                number += 1
                if b"\0" in data:
                    kind = "UTF-16" if data.count(b"\0") in _halves(data) else "a binary file"
                    raise CorpusError(
                        f"{path}:{number}: Expected text in UTF-8. "
                        f"Received: a NUL byte, as in {kind}"
                    )
                if len(data) == LONGEST_LINE and not data.endswith(b"\n"):
                    raise CorpusError(
                        f"{path}:{number}: Expected a line of less than {LONGEST_LINE} bytes. "
                        "Received: a longer one"
                    )
                yield data.removesuffix(b"\n").removesuffix(b"\r")
                data = file.readline(LONGEST_LINE)


def _halves(data: bytes) -> Any:
    """Counts of NUL bytes in a line of UTF-16 that has a few letters beyond the first 256."""
    return range(len(data) // 4, (len(data) + 3) // 2)


def _content(path: Path, plain: Any) -> Any:
    if path.suffix.lower() == ".gz":
        return io.BufferedReader(gzip.GzipFile(fileobj=plain))
    return contextlib.nullcontext(plain)


def _check_regular(path: str | Path) -> None:
    mode = os.stat(path).st_mode
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe; write what it holds to a file"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
        (stat.S_ISSOCK, "a socket"),
    )
    for is_kind, kind in kinds:
        if is_kind(mode):
            raise CorpusError(f"{path}: Expected a file. Received: {kind}")


@contextlib.contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    """Names the file in what the system says of it."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise CorpusError(f"{path}: Expected a file. Received: nothing of that name") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(f"{path}: Expected a gzip file. Received: {error}") from None
    except OSError as error:
        raise CorpusError(f"{path}: Expected a readable file. Received: {error.strerror}") from None


def _decode(path: str | Path, number: int, line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path}:{number}: Expected UTF-8. "
            f"Received: byte 0x{line[error.start]:02x} at position {error.start + 1} of the line"
        ) from None
