"""A table of plain text."""

import unicodedata
from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts as lines with aligned columns; the first row is the head.

    What a terminal would not show as one line of text, such as control characters, is escaped.
    """
    rows = [[_shown(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    return "\n".join([lines[0], "─┼─".join("─" * width for width in widths), *lines[1:]])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
    return " │ ".join(cells).rstrip()


def _shown(text: str) -> str:
    printable = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(printable)


def _width(text: str) -> int:
    """Number of columns of a terminal that a text takes."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )
