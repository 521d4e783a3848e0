"""Noise of typed dates: deviations from the format that keep the date unambiguous."""

import random
import re
import unicodedata
from functools import cache

from .formats import WITHOUT_MONTH_WORDS, field_text, fold

TYPO = 0.185  # Of the lines with words: a tenth of all lines.
TRAINING_TYPO = 0.7  # Spelling is learnt from more mistakes than are met later.
CASE = 0.2
ORDINAL = 0.25
FIRST = 0.75  # 1er, 1º: the languages that count only the first day of the month.
NO_COMMA = 0.15
NO_STOP = 0.15
NO_ACCENT = 0.1
WIDE_BLANK = 0.05
DIGITS = {  # Digits other than 0-9, and how often they are typed.
    "ar_EG": ("٠١٢٣٤٥٦٧٨٩", 0.5),
    "hi": ("०१२३४५६७८९", 0.25),
    "ja": ("０１２３４５６７８９", 0.1),
}
_ENGLISH = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}
_FIRST = {"fr": "er", "es": "º", "it": "º", "pt": "º"}


def noisy(
    pieces: list[tuple[str, str]], locale: str, rng: random.Random, typos: float = TYPO
) -> tuple[str, bool]:
    """Rendered date with random noise, and True if a letter of it is wrong."""
    words = any(field[:3] == "MMM" for field, _ in pieces)
    texts = [
        _ordinal(text, locale, rng) if field == "d" and words else _abbreviation(text, rng)
        for field, text in pieces
    ]
    typo = False
    if locale not in WITHOUT_MONTH_WORDS and rng.random() < typos:
        typo = _typo(texts, [field for field, _ in pieces], locale, rng)
    text = "".join(texts)
    if rng.random() < NO_COMMA:
        text = re.sub(r"[,،]", "", text)
    if rng.random() < NO_ACCENT:
        text = _without_accents(text)
    if rng.random() < CASE:
        text = _change_case(text, locale, rng)
    if rng.random() < WIDE_BLANK:
        text = _double_blank(text, rng)
    digits, share = DIGITS.get(locale, ("", 0))
    if rng.random() < share:
        text = text.translate(str.maketrans("0123456789", digits))
    return text, typo


def _ordinal(day: str, locale: str, rng: random.Random) -> str:
    language = locale[:2]
    if language == "en":
        ending = _ENGLISH.get(int(day), "th")
    else:
        ending = "e" if language == "nl" else ""
    if day == "1" and language in _FIRST:
        return day + _FIRST[language] if rng.random() < FIRST else day
    return day + ending if rng.random() < ORDINAL else day


def _abbreviation(text: str, rng: random.Random) -> str:
    """Mar. or Mar: the stop after a short word is often left out."""
    if len(text) > 1 and text[-1] == "." and text[-2].isalpha() and rng.random() < NO_STOP:
        return text[:-1]
    return text


def _without_accents(text: str) -> str:
    """Latin and Greek letters without their accents."""
    letters = unicodedata.normalize("NFD", text)
    return unicodedata.normalize(
        "NFC", re.sub("[\u0300\u0301\u0302\u0303\u030c\u0327]", "", letters)
    )


def _change_case(text: str, locale: str, rng: random.Random) -> str:
    if locale == "tr":  # The two letters whose case Python does not know to be Turkish.
        upper, lower = (
            text.translate(str.maketrans("iı", "İI")),
            text.translate(str.maketrans("İI", "iı")),
        )
    else:
        upper = lower = text
    return rng.choice((lower.lower(), lower.lower(), upper.upper()))


def _double_blank(text: str, rng: random.Random) -> str:
    blanks = [place for place, letter in enumerate(text) if letter == " "]
    if not blanks:
        return text
    place = rng.choice(blanks)
    return text[:place] + " " + text[place:]


def _typo(texts: list[str], fields: list[str], locale: str, rng: random.Random) -> bool:
    """Types one letter wrong in one of ``texts``; False if no letter could be."""
    places = [
        (index, place)
        for index, text in enumerate(texts)
        for place, letter in enumerate(text)
        if letter.isalpha() and letter not in "ºª"
    ]
    rng.shuffle(places)
    for index, place in places:
        typed = mistype(texts[index], place, locale, rng)
        if typed != texts[index] and decidable(typed, texts[index], fields[index], locale):
            texts[index] = typed
            return True
    return False


def mistype(text: str, place: int, locale: str, rng: random.Random) -> str:
    """``text`` with the letter at ``place`` replaced, left out, preceded by another or swapped."""
    kind = rng.choice(("replace", "leave out", "add", "swap"))
    if kind == "leave out":
        return text[:place] + text[place + 1 :]
    if kind == "swap":
        following = text[place + 1 : place + 2]
        if not following.isalpha():
            return text
        return text[:place] + following + text[place] + text[place + 2 :]
    return text[:place] + rng.choice(alphabet(locale)) + text[place + (kind == "replace") :]


@cache
def alphabet(locale: str) -> tuple[str, ...]:
    """The letters that occur in the locale's months and weekdays, in small."""
    names = [field_text(locale, "MMMM", month) for month in range(1, 13)]
    names += [field_text(locale, "EEEE", day) for day in range(7)]
    return tuple(sorted({letter for letter in "".join(names).lower() if letter.isalpha()}))


@cache
def _months(locale: str) -> tuple[frozenset[str], ...]:
    return tuple(
        frozenset(_bare(field_text(locale, field, month)) for field in ("MMM", "MMMM"))
        for month in range(1, 13)
    )


def _bare(name: str) -> str:
    return fold(name).rstrip(".")


def decidable(typed: str, meant: str, field: str, locale: str) -> bool:
    """True if a mistyped word is still unambiguous: no other month is as near as the right one.

    ``Jn`` for June is not, since January's ``Jan`` is one letter away as well.
    """
    if field[:3] != "MMM":
        return True
    return not any(
        _bare(meant) not in names and any(one_edit_apart(_bare(typed), name) for name in names)
        for names in _months(locale)
    )


def one_edit_apart(first: str, second: str) -> bool:
    """True if at most one letter replaced, added, left out or swapped makes one the other."""
    if len(first) > len(second):
        first, second = second, first
    start = 0
    while start < len(first) and first[start] == second[start]:
        start += 1
    rest, other = first[start:], second[start:]
    if len(rest) < len(other):
        return rest == other[1:]
    return rest[1:] == other[1:] or (rest[:2] == other[1::-1] and rest[2:] == other[2:])
