"""Reads parallel text: two columns of one file, or the lines of two files."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from keras_attention._types import Pairs
from keras_attention.text.lines import CorpusError as CorpusError
from keras_attention.text.lines import is_csv, read_csv, read_lines

# Names of columns. A first line of two such names is taken for a header.
_COLUMNS = frozenset(
    "source src input in from question query prompt original raw noisy x text sentence word phrase "
    "english german french spanish italian portuguese dutch russian chinese japanese korean arabic "
    "en de fr es it pt nl ru zh ja ko ar "
    "target tgt trg output out to answer response label reference normalized clean y "
    "translation".split()
)


class Corpus(list[tuple[str, str]]):
    """Pairs (source, target) that know where they were read.

    Args:
        pairs: list of (source, target).
        path: the file.
        numbers: the line of each pair.

    Attributes:
        header: the pair that is the header of the file by its looks, or None.
    """

    def __init__(self, pairs: Pairs, path: str | Path, numbers: Sequence[int]) -> None:
        super().__init__(pairs)
        self.path = path
        self.numbers = numbers
        self.header = self[0] if self and _is_header(self) else None

    def where(self, index: int) -> str:
        """The place of a pair, as `file:line`."""
        return f"{self.path}:{self.numbers[index]}"

    def part(self, indices: Iterable[int]) -> "Corpus":
        """The pairs of some indices, as a corpus."""
        return Corpus([self[i] for i in indices], self.path, [self.numbers[i] for i in indices])


def read_pairs(path: str | Path) -> Corpus:
    """Reads `source<TAB>target` lines, or CSV if the name is `.csv`; UTF-8, plain or `.gz`.

    Returns:
        `Corpus`, a list of (source, target).

    Raises:
        CorpusError: no such file, an empty file, a line without exactly two columns that hold
            something, or one that is not UTF-8.
    """
    between = "a comma" if is_csv(path) else "a tab"
    rows = read_csv(path) if is_csv(path) else ((n, t.split("\t")) for n, t in read_lines(path))
    pairs, numbers = [], []
    for number, columns in rows:
        if len(columns) != 2:
            commas = not is_csv(path) and columns[0].count(",") == 1 and len(columns) == 1
            raise CorpusError(
                f"{path}:{number}: Expected two columns, source and target, with {between} "
                f"between. Received: {len(columns)} column{'s' * (len(columns) > 1)}"
                f"{', with a comma: a CSV file has to be named .csv' * commas}"
            )
        for name, column in zip(("source", "target"), columns, strict=True):
            _check_not_blank(path, number, name, column)
        pairs.append((columns[0], columns[1]))
        numbers.append(number)
    return Corpus(pairs, path, numbers)


def read_parallel(source_path: str | Path, target_path: str | Path) -> Corpus:
    """Reads two files, UTF-8, plain or `.gz`, whose lines with one number belong together.

    Returns:
        `Corpus`, a list of (source, target).

    Raises:
        CorpusError: as for `read_pairs`, or files of different length.
    """
    sources, targets = _read_column(source_path), _read_column(target_path)
    if len(sources) != len(targets):
        raise CorpusError(
            f"Expected as many lines in {target_path} as in {source_path}. "
            f"Received: {len(targets)} and {len(sources)}"
        )
    for (number, source), (other, target) in zip(sources, targets, strict=True):
        _check_not_blank(source_path, number, "source", source)
        _check_not_blank(target_path, other, "target", target)
    pairs = [(source, target) for (_, source), (_, target) in zip(sources, targets, strict=True)]
    return Corpus(pairs, target_path, [number for number, _ in targets])


def _read_column(path: str | Path) -> list[tuple[int, str]]:
    if not is_csv(path):
        return list(read_lines(path))
    found = []
    for number, columns in read_csv(path):
        if len(columns) != 1:
            raise CorpusError(
                f"{path}:{number}: Expected one column, since the other is a file of its own. "
                f"Received: {len(columns)} columns"
            )
        found.append((number, columns[0]))
    return found


def _check_not_blank(path: str | Path, number: int, name: str, text: str) -> None:
    if not text.strip():
        raise CorpusError(f"{path}:{number}: Expected a {name} text. Received: {text!r}")


def _is_header(pairs: Pairs) -> bool:
    """Two names of columns in the first line that are in no other."""
    names = [column.casefold().strip(" \"'#") for column in pairs[0]]
    known = all(
        words and _COLUMNS.issuperset(words)
        for words in (re.findall(r"[^\W_]+", name) for name in names)
    )
    return known and names[0] != names[1] and pairs[0] not in pairs[1:]
