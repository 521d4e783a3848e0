"""Date formats of each locale: their patterns, rendering, and the held-out ones.

A format is a CLDR date pattern (``EEEE, d. MMMM y``). The list of a locale joins CLDR's own
(the four standard lengths and every skeleton with day, month and year) with what people and
programs write besides: the locale's numeric order with other separators, with and without
leading zeros, ISO-like dates, and the month in words with or without the weekday.
Two-digit years occur only where CLDR's short format of the locale has them.
"""

import datetime
import random
import re
import unicodedata
from functools import cache

from babel import Locale
from babel.dates import format_date, tokenize_pattern

LOCALES = (
    *("en_US", "en_GB", "de", "fr", "es", "it", "pt", "nl", "sv", "pl"),
    *("cs", "fi", "tr", "ru", "el", "ar_EG", "hi", "ja", "zh", "ko"),
)
WITHOUT_MONTH_WORDS = ("ja", "zh", "ko")
HELD_OUT_SHARE = 0.15
# Year, month, day, weekday and era. What CLDR has besides, here or there, is left out: some of its
# releases write Y, the year that a week belongs to, which around New Year is not the date's.
FIELDS = "yMdEcG"

_ISO_LIKE = ("y-MM-dd", "y/MM/dd", "y.MM.dd", "y MM dd", "y-M-d", "y/M/d", "y.M.d", "yMMdd")
_MONTH_WORDS = (
    *("d MMMM y", "d MMM y", "dd MMM y", "d MMMM, y", "d-MMM-y", "dd-MMM-y", "d/MMM/y"),
    *("MMMM d, y", "MMM d, y", "MMM dd y", "y MMMM d", "y MMM d", "y-MMM-dd"),
    *("EEEE d MMMM y", "EEEE, d MMMM y", "E d MMM y", "E, dd MMM y", "E dd-MMM-y"),
    *("d MMMM y, EEEE", "d MMM y, E", "d MMMM y (EEEE)", "d MMM y (E)"),
    *("EEEE, MMMM d, y", "E MMM d y", "y MMMM d, EEEE", "y MMM d (E)"),
)
_LOCAL = {
    "en": ("d 'of' MMMM y", "'the' d 'of' MMMM, y", "EEEE 'the' d 'of' MMMM y"),
    "de": ("'den' d. MMMM y", "EEEE, 'den' d. MMMM y", "EEEE 'den' dd.MM.y"),
    "fr": ("'le' d MMMM y", "'le' EEEE d MMMM y", "'le' dd/MM/y"),
    "es": ("d 'de' MMMM 'del' y", "EEEE d 'de' MMMM 'de' y", "'el' d 'de' MMMM 'de' y"),
    "it": ("'il' d MMMM y", "'il' dd/MM/y"),
    "pt": ("'dia' d 'de' MMMM 'de' y", "EEEE, 'dia' d 'de' MMMM 'de' y", "'dia' dd/MM/y"),
    "sv": ("'den' d MMMM y", "EEEE 'den' d MMMM y"),
    "pl": ("d MMMM y 'r'.", "'dnia' d MMMM y 'r'.", "d.MM.y 'r'."),
    "cs": ("'dne' d. MMMM y", "'dne' d. M. y", "EEEE, d. MMMM y"),
    "ru": ("d MMMM y 'года'", "d MMMM y 'г'", "EEEE, d MMMM y 'года'", "dd.MM.y 'г'."),
    "ja": ("y年MM月dd日", "y年M月d日 EEEE", "y年MM月dd日(E)", "y年 M月 d日"),
    "zh": ("y年MM月dd日", "y年M月d号", "y年M月d日 EEEE", "y年M月d日(E)", "y年 M月 d日"),
    "ko": ("y년 MM월 dd일", "y년M월d일", "y년 M월 d일, EEEE", "y년M월d일(E)"),
}


@cache
def formats(locale: str) -> tuple[str, ...]:
    """All patterns of a locale, without repeats, in a fixed order."""
    data = Locale.parse(locale)
    skeletons = data.datetime_skeletons
    found = [data.date_formats[length].pattern for length in ("full", "long", "medium", "short")]
    for name in sorted(skeletons):
        # Numeric dates with an era are left out: their order differs from the locale's in places.
        if {"y", "d"} <= set(name) and not ("G" in name and "MMM" not in name):
            found.append(skeletons[name].pattern)
    found += [re.sub("G{2,}", "G", pattern) for pattern in found if "G" in pattern]
    two_digits = "yy" in re.findall("y+", found[3])

    def fits(pattern):
        names = [field for field, _ in fields(pattern)]
        known = all(name[:1] in FIELDS for name in names)
        return known and "GG" not in pattern and (two_digits or "yy" not in names)

    found += _numeric(locale, two_digits)
    found += _ISO_LIKE
    if locale not in WITHOUT_MONTH_WORDS:
        comma = "،" if locale.startswith("ar") else ","
        found += [pattern.replace(",", comma) for pattern in _MONTH_WORDS]
    found += _LOCAL.get(locale[:2], ())
    return tuple(dict.fromkeys(_typeable(pattern) for pattern in found if fits(pattern)))


def numeric_order(locale: str) -> str:
    """The order of an all-digit date in a locale, such as ``dMy``."""
    pattern = Locale.parse(locale).datetime_skeletons["yMd"].pattern
    return "".join(field[0] for field in re.findall("y+|M+|d+", pattern))


def _numeric(locale: str, two_digits: bool) -> list[str]:
    """All-digit patterns in the order of the locale, plain and with a weekday."""
    order = numeric_order(locale)
    years = ("y", "yy") if two_digits else ("y",)
    found = []
    for year in years:
        for day, month in (("d", "M"), ("dd", "MM")):
            fields = [{"y": year, "M": month, "d": day}[letter] for letter in order]
            found += [separator.join(fields) for separator in ("/", ".", "-", " ", ". ")]
    plain = "/".join({"y": "y", "M": "MM", "d": "dd"}[letter] for letter in order)
    return found + [f"E {plain}", f"EEEE, {plain}", f"{plain} (E)", f"{plain}, EEEE"]


def _typeable(pattern: str) -> str:
    """Pattern without characters that keyboards lack: special blanks, direction marks."""
    return re.sub("[\u200e\u200f]", "", re.sub("[\u00a0\u202f]", " ", pattern))


@cache
def fields(pattern: str) -> tuple[tuple[str, str], ...]:
    """``(field, "")`` or ``("", literal)`` for each piece of a pattern, in order."""
    return tuple(
        (value[0] * value[1], "") if kind == "field" else ("", value)
        for kind, value in tokenize_pattern(pattern)
    )


@cache
def field_text(locale: str, field: str, value: int) -> str:
    """One field in words or digits: the year, month or weekday (Monday is 0) ``value``."""
    if field[0] == "y":
        date = datetime.date(value, 1, 1)
    elif field[0] in "ML":
        date = datetime.date(2001, value, 1)
    else:
        date = datetime.date(2001, 1, 1 + value)
    return _typeable(format_date(date, field, locale))


def pieces(date: datetime.date, pattern: str, locale: str) -> list[tuple[str, str]]:
    """The rendered date as ``(field, text)``; the field of a literal is empty."""
    values = {"y": date.year, "M": date.month, "E": date.weekday(), "c": date.weekday(), "G": 0}
    rendered = []
    for field, literal in fields(pattern):
        if not field:
            rendered.append(("", literal))
        elif field[0] == "d":
            rendered.append((field, str(date.day).zfill(len(field))))
        else:
            rendered.append((field, field_text(locale, field, values[field[0]])))
    return rendered


def render(date: datetime.date, pattern: str, locale: str) -> str:
    """The date in the pattern, as ``babel.dates.format_date`` writes it, but quickly."""
    return "".join(text for _, text in pieces(date, pattern, locale))


def fold(text: str) -> str:
    """``text`` without case and accents."""
    letters = unicodedata.normalize("NFD", text.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def canonical(text: str) -> str:
    """Rendered date without case, accents, commas, and stops after words.

    Two formats that agree in this on any date count as one format when some are held out.
    """
    text = re.sub(r"[,،]|(?<=[^\W\d])\.", " ", fold(text))
    return re.sub(r"\s+", " ", text).strip()


@cache
def families(locale: str) -> tuple[tuple[str, ...], ...]:
    """The formats of a locale, joined where two of them read the same on any date.

    ``d MMM y`` and ``d MMMM y`` are one family in English because of May, and ``d/M/y`` and
    ``dd/MM/y`` because of October. The days 10 to 16 of each month have two digits and meet
    every weekday, so two formats that ever agree do so on one of them.
    """
    dates = [datetime.date(2019, month, day) for month in range(1, 13) for day in range(10, 17)]
    groups: list[tuple[list[str], set[str]]] = []
    for pattern in formats(locale):
        members, texts = [pattern], {canonical(render(date, pattern, locale)) for date in dates}
        for group in [group for group in groups if group[1] & texts]:
            groups.remove(group)
            members, texts = group[0] + members, group[1] | texts
        groups.append((members, texts))
    return tuple(tuple(members) for members, _ in groups)


def _evidence(patterns: tuple[str, ...]) -> set[str]:
    """Fields and numeric orders that occur in these formats."""
    learnt = set()
    for pattern in patterns:
        names = [field for field, _ in fields(pattern) if field]
        learnt.update(name if name[0] in "yMEcG" else name[0] for name in names)
        if not any(name.startswith("MMM") for name in names):
            learnt.add("".join(name[0] for name in names if name[0] in "yMd") + str("yy" in names))
    return learnt


@cache
def split_formats(locale: str, seed: int = 0) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """``(known, held_out)`` formats of a locale, where families are never torn apart.

    Families are drawn at random and held out until their share is reached. One is passed over
    only when nothing known would be left to learn one of its parts from: a field such as the
    short month name or the two-digit year, or the order of an all-digit date.
    """
    order = list(families(locale))
    random.Random(f"formats {locale} {seed}").shuffle(order)
    wanted = round(HELD_OUT_SHARE * len(order))
    known, held_out = list(order), []
    for family in order:
        rest = [other for other in known if other != family]
        if len(held_out) < wanted and _evidence(family) <= _evidence(tuple(sum(rest, ()))):
            known = rest
            held_out.append(family)
    return tuple(sum(known, ())), tuple(sum(held_out, ()))
