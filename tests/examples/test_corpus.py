import datetime
import random
import re
from collections import defaultdict
from types import SimpleNamespace

import pytest
from babel.dates import format_date

from date_normalizer import corpus, formats, noise

SEED = 3
SIZES = {"train": 12_000, "dev": 2_000, "test_dates": 4_000, "test_formats": 4_000}


@pytest.fixture(scope="module")
def sets():
    return {name: list(corpus.lines(name, size, SEED)) for name, size in SIZES.items()}


def test_no_date_is_in_two_sets(sets):
    dates = corpus.split_dates(SEED)
    days = [day for part in dates.values() for day in part]
    assert len(days) == len(set(days)) == 73_049
    for name, lines in sets.items():
        known = {day.isoformat() for day in dates[name]}
        assert all(line.target in known for line in lines)


def test_held_out_formats_are_never_seen_in_their_locale(sets):
    seen = {
        (line.locale, line.pattern)
        for name in ("train", "dev", "test_dates")
        for line in sets[name]
    }
    held_out = {(line.locale, line.pattern) for line in sets["test_formats"]}
    assert not seen & held_out
    assert {locale for locale, _ in held_out} == set(formats.LOCALES)
    known = {
        (locale, pattern)
        for locale in formats.LOCALES
        for pattern in formats.split_formats(locale, SEED)[0]
    }
    assert {(line.locale, line.pattern) for line in sets["test_dates"]} <= known


@pytest.mark.parametrize("locale", formats.LOCALES)
def test_held_out_formats_never_read_like_a_known_one(locale):
    known, held_out = formats.split_formats(locale, SEED)
    assert known and held_out
    days = random.Random(0).sample(corpus.split_dates(SEED)["test_formats"], 60)
    days += [datetime.date(2031, 5, 11), datetime.date(2011, 11, 11), datetime.date(1999, 10, 3)]
    for day in days:
        texts = {formats.canonical(formats.render(day, pattern, locale)) for pattern in known}
        for pattern in held_out:
            assert formats.canonical(formats.render(day, pattern, locale)) not in texts


@pytest.mark.parametrize("locale", formats.LOCALES)
def test_what_held_out_formats_need_is_taught_by_known_ones(locale):
    known, held_out = formats.split_formats(locale, SEED)

    def field_names(patterns):
        return {
            name
            for pattern in patterns
            for name, _ in formats.fields(pattern)
            if name and name[0] != "d"
        }

    def numeric_orders(patterns):
        names = [[name for name, _ in formats.fields(pattern)] for pattern in patterns]
        return {
            tuple(name[0] for name in row if name and name[0] in "yMd") + ("yy" in row,)
            for row in names
            if not any(name.startswith("MMM") for name in row)
        }

    assert field_names(held_out) <= field_names(known)
    assert numeric_orders(held_out) <= numeric_orders(known)


def test_languages_and_formats_are_many():
    assert len({locale[:2] for locale in formats.LOCALES}) >= 12
    assert all(len(formats.formats(locale)) >= 20 for locale in formats.LOCALES)


def test_a_year_that_is_not_the_dates_own_is_left_out(monkeypatch):
    wanted = formats.formats.__wrapped__("sv")
    data = formats.Locale.parse("sv")
    odd = {**data.datetime_skeletons, "GyMMMMEEEEd": SimpleNamespace(pattern="d MMMM Y G, EEEE")}
    locale = SimpleNamespace(date_formats=data.date_formats, datetime_skeletons=odd)
    monkeypatch.setattr(formats, "Locale", SimpleNamespace(parse=lambda name: locale))
    assert formats.formats.__wrapped__("sv") == wanted
    odd["GyMMMMEEEEd"].pattern = "d MMMM y G, EEEE"
    assert set(formats.formats.__wrapped__("sv")) - set(wanted) == {"d MMMM y G, EEEE"}


def test_all_locales_and_formats_come_up(sets):
    lines = sets["train"]
    assert {line.locale for line in lines} == set(formats.LOCALES)
    pairs = sum(len(formats.split_formats(locale, SEED)[0]) for locale in formats.LOCALES)
    assert len({(line.locale, line.pattern) for line in lines}) > 0.98 * pairs


def test_targets_are_iso_dates_and_sources_have_one_meaning(sets):
    meanings = defaultdict(set)
    for lines in sets.values():
        for line in lines:
            assert datetime.date.fromisoformat(line.target).isoformat() == line.target
            assert line.source.startswith(f"{line.locale}: ")
            meanings[line.source].add(line.target)
    assert all(len(targets) == 1 for targets in meanings.values())


def test_two_digit_years_stay_within_their_century(sets):
    short = [
        line
        for lines in sets.values()
        for line in lines
        if ("yy", "") in formats.fields(line.pattern)
    ]
    assert {line.locale for line in short} == {"en_US", "de", "es", "it", "cs", "el", "hi", "ko"}
    assert all("1950" <= line.target[:4] <= "2049" for line in short)


@pytest.mark.parametrize(
    ("line", "pattern", "iso"),
    [
        ("de: 3. Mai 2019", "d. MMMM y", "2019-05-03"),
        ("en_US: 05/03/2019", "MM/dd/y", "2019-05-03"),
        ("en_GB: 05/03/2019", "dd/MM/y", "2019-03-05"),
        ("en_US: 5/3/49", "M/d/yy", "2049-05-03"),
        ("de: 03.05.50", "dd.MM.yy", "1950-05-03"),
        ("fr: vendredi 3 mai 2019", "EEEE d MMMM y", "2019-05-03"),
        ("es: 3 de mayo de 2019", "d 'de' MMMM 'de' y", "2019-05-03"),
        ("pl: 3 maja 2019", "d MMMM y", "2019-05-03"),
        ("ru: 3 мая 2019 г.", "d MMMM y 'г'.", "2019-05-03"),
        ("el: 3 Μαΐου 2019", "d MMMM y", "2019-05-03"),
        ("ja: 2019年5月3日金曜日", "y年M月d日EEEE", "2019-05-03"),
        ("zh: 2019/5/3", "y/M/d", "2019-05-03"),
        ("ko: 2019년 5월 3일", "y년 MMMM d일", "2019-05-03"),
        ("sv: 2019-05-03", "y-MM-dd", "2019-05-03"),
    ],
)
def test_known_examples(line, pattern, iso):
    locale, text = line.split(": ")
    assert pattern in formats.formats(locale)
    assert formats.render(datetime.date.fromisoformat(iso), pattern, locale) == text


@pytest.mark.parametrize("locale", formats.LOCALES)
def test_rendering_agrees_with_babel(locale):
    for day in (datetime.date(1907, 1, 31), datetime.date(2019, 5, 3), datetime.date(2096, 12, 9)):
        for pattern in formats.formats(locale):
            if "yy" in pattern:
                continue
            expected = re.sub("[\u200e\u200f]", "", format_date(day, pattern, locale))
            assert formats.render(day, pattern, locale) == re.sub("[\u00a0\u202f]", " ", expected)


def test_same_seed_same_lines_and_other_seed_others():
    first = list(corpus.lines("train", 200, 1))
    assert first == list(corpus.lines("train", 200, 1))
    assert first != list(corpus.lines("train", 200, 2))
    splits = [formats.split_formats("fr", seed)[1] for seed in range(8)]
    assert len(set(splits)) > 4


def test_a_tenth_of_the_lines_have_a_wrong_letter(sets):
    for name, lines in sets.items():
        if name == "train":
            continue
        assert 0.085 < sum(line.typo for line in lines) / len(lines) < 0.115
    assert 0.3 < sum(line.typo for line in sets["train"]) / len(sets["train"]) < 0.45
    assert not any(line.typo for line in corpus.lines("train", 500, SEED, typos=0))


def test_noise_keeps_all_digits(sets):
    for lines in sets.values():
        for line in lines:
            day = datetime.date.fromisoformat(line.target)
            clean = formats.render(day, line.pattern, line.locale)
            typed = line.source.split(": ", 1)[1]
            typed = re.sub("[ºª]", "", typed)
            digits = [int(digit) for digit in re.findall(r"\d", typed)]
            assert digits == [int(digit) for digit in re.findall(r"\d", clean)]


def test_a_typo_is_one_edit_of_letters_and_leaves_the_month_clear():
    rng = random.Random(0)
    for locale in ("en_GB", "fr", "ru", "ar_EG"):
        for month in range(1, 13):
            for field in ("MMM", "MMMM"):
                meant = formats.field_text(locale, field, month)
                for place in range(len(meant)):
                    typed = noise.mistype(meant, place, locale, rng)
                    assert noise.one_edit_apart(meant, typed)
    assert not noise.decidable("Jn", "Jun", "MMM", "en_GB")
    assert not noise.decidable("Jul", "Jun", "MMM", "en_GB")
    assert noise.decidable("Spe", "Sep", "MMM", "en_GB")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("mai", "mai", True),
        ("mai", "mia", True),
        ("mai", "ai", True),
        ("mai", "mait", True),
        ("mai", "mal", True),
        ("mai", "iam", False),
        ("mai", "m", False),
        ("mai", "amis", False),
        ("", "a", True),
    ],
)
def test_one_edit_apart(first, second, expected):
    assert noise.one_edit_apart(first, second) is expected
    assert noise.one_edit_apart(second, first) is expected


def test_ordinals_case_and_other_digits_occur(sets):
    sources = "\n".join(line.source for line in sets["train"])
    for text in (
        "1st",
        "22nd",
        "3rd",
        "4th",
        "1er ",
        "1º ",
        "  ",
        "MARS",
        "juni ",
        "٢٠",
        "२०",
        "２０",
    ):
        assert text in sources, text


def test_written_files_are_read_back(tmp_path):
    sizes = {"train": 30, "dev": 10, "test_dates": 10, "test_formats": 10}
    paths = corpus.write(tmp_path / "dates", SEED, sizes)
    assert sorted(path.name for path in paths.values()) == sorted(f"{name}.tsv" for name in sizes)
    for name, path in paths.items():
        assert b"\r" not in path.read_bytes()
        expected = [(line.source, line.target) for line in corpus.lines(name, sizes[name], SEED)]
        assert list(zip(*corpus.read(path), strict=True)) == expected
