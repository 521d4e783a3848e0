"""Pairs of a date as people write it and the same date in ISO 8601, for twenty locales.

``de: 3. Mai 2019`` is to become ``2019-05-03``. The locale comes first since it decides what
``05/03/2019`` means: all-digit dates are in the order of the locale, or begin with the whole
year. The calendar is Gregorian and the years run from 1900 to 2099. A two-digit year stands for
1950 to 2049, and dates outside those years are never written with one.

No calendar date is in two of ``train``, ``dev``, ``test_dates`` and ``test_formats``. The first
three share their formats; those of ``test_formats`` are never seen with the same locale in the
other three (see ``formats.split_formats``), though other locales may use them.
"""

import argparse
import datetime
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from .formats import LOCALES, fields, pieces, split_formats
from .noise import TRAINING_TYPO, TYPO, noisy

YEARS = range(1900, 2100)
TWO_DIGIT_YEARS = range(1950, 2050)
DATE_SHARES = {"train": 0.9, "dev": 0.02, "test_dates": 0.04, "test_formats": 0.04}
SIZES = {"train": 400_000, "dev": 2_000, "test_dates": 5_000, "test_formats": 5_000}


class Line(NamedTuple):
    """One example, with what it was made from."""

    source: str
    target: str
    locale: str
    pattern: str
    typo: bool


def split_dates(seed: int = 0) -> dict[str, list[datetime.date]]:
    """Every day of ``YEARS``, dealt at random to the four sets in ``DATE_SHARES``."""
    first, end = datetime.date(YEARS[0], 1, 1), datetime.date(YEARS[-1] + 1, 1, 1)
    days = [first + datetime.timedelta(days=day) for day in range((end - first).days)]
    random.Random(f"dates {seed}").shuffle(days)
    dates, start = {}, 0.0
    for name, share in DATE_SHARES.items():
        stop = start + share * len(days)
        dates[name] = days[round(start) : round(stop)]
        start = stop
    return dates


def lines(name: str, size: int, seed: int = 0, typos: float | None = None) -> Iterator[Line]:
    """``size`` lines of one of the four sets: each locale, and each of its formats, as often.

    ``typos`` is the share, among the lines with words, of those with one letter typed wrong:
    a tenth of all lines comes of the default, but three to four tenths in ``train``.
    """
    if typos is None:
        typos = TRAINING_TYPO if name == "train" else TYPO
    rng = random.Random(f"{name} {seed}")
    dates = split_dates(seed)[name]
    recent = [date for date in dates if date.year in TWO_DIGIT_YEARS]
    held_out = name == "test_formats"
    patterns = {locale: split_formats(locale, seed)[held_out] for locale in LOCALES}
    for _ in range(size):
        locale = rng.choice(LOCALES)
        pattern = rng.choice(patterns[locale])
        date = rng.choice(recent if ("yy", "") in fields(pattern) else dates)
        text, typo = noisy(pieces(date, pattern, locale), locale, rng, typos)
        yield Line(f"{locale}: {text}", date.isoformat(), locale, pattern, typo)


def write(folder: str | Path, seed: int = 0, sizes: Mapping[str, int] = SIZES) -> dict[str, Path]:
    """Writes ``<set>.tsv`` (source, tab, target; UTF-8) for each set in ``sizes``."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, size in sizes.items():
        paths[name] = folder / f"{name}.tsv"
        with paths[name].open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line.source}\t{line.target}\n" for line in lines(name, size, seed))
    return paths


def read(path: str | Path) -> tuple[list[str], list[str]]:
    """The sources and the targets of a file that ``write`` wrote."""
    rows = [row.split("\t") for row in Path(path).read_text(encoding="utf-8").splitlines()]
    return [source for source, _ in rows], [target for _, target in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the corpus of dates.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    for name, size in SIZES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=size)
    options = parser.parse_args()
    write(options.folder, options.seed, {name: getattr(options, name) for name in SIZES})


if __name__ == "__main__":
    main()
