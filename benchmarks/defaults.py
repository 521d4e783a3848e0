"""Quality of the defaults: trains five small tasks with no option but the lines and the folder.

python benchmarks/defaults.py [--folder runs/defaults] [digits reverse pig_latin numbers dates]

Each is `keras-attention train --train FILE --run FOLDER` and `keras-attention evaluate` on lines
whose sources are not among those of training.
"""

import argparse
import datetime
import random
import re
import subprocess
import sys
import time
from pathlib import Path

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
WORDS = "red green blue black white grey pink brown gold silver".split()
TEST = 200


def digits(draw):
    """Single digits to their names."""
    drawn = draw.choices(range(10), k=draw.randint(2, 4))
    return " ".join(map(str, drawn)), " ".join(ONES[i] for i in drawn)


def reverse(draw):
    """Two to five words in reverse order."""
    drawn = draw.choices(WORDS, k=draw.randint(2, 5))
    return " ".join(drawn), " ".join(drawn[::-1])


def pig_latin(draw):
    """Made-up words to Pig Latin: the consonants before the first vowel go to the end."""
    vowels, consonants = "aeiou", "bcdfghklmnprstvw"
    start = "".join(draw.choices(consonants, k=draw.randint(0, 2)))
    rest = "".join(draw.choice(vowels) + draw.choice(consonants) for _ in range(draw.randint(1, 3)))
    return start + rest, rest + (start + "ay" if start else "way")


def spelled(number):
    """An integer below a million in English words."""
    if number >= 1000:
        thousands, rest = divmod(number, 1000)
        return f"{spelled(thousands)} thousand" + (f" {spelled(rest)}" if rest else "")
    if number >= 100:
        hundreds, rest = divmod(number, 100)
        return f"{ONES[hundreds]} hundred" + (f" {spelled(rest)}" if rest else "")
    if number >= 20:
        tens, rest = divmod(number, 10)
        return TENS[tens - 2] + (f" {ONES[rest]}" if rest else "")
    return ONES[number]


def numbers(draw):
    """Numbers of up to six digits in words."""
    number = draw.randrange(10 ** draw.randint(3, 6))
    return str(number), spelled(number)


def dates(draw):
    """English dates as they are written in words to ISO 8601."""
    day = datetime.date(1900, 1, 1) + datetime.timedelta(days=draw.randrange(73_000))
    name = day.strftime(draw.choice(("%B", "%b")))
    source = draw.choice((f"{day.day} {name} {day.year}", f"{name} {day.day}, {day.year}"))
    return source, day.isoformat()


def pairs(task, count, seed=0):
    """`count` pairs to train on, and `TEST` with other sources."""
    draw, found = random.Random(seed), {}
    while len(found) < count + TEST:
        source, target = globals()[task](draw)
        found.setdefault(source, target)
    rows = list(found.items())
    return rows[TEST:], rows[:TEST]


TASKS = {"digits": 50, "reverse": 300, "pig_latin": 3_000, "numbers": 10_000, "dates": 20_000}


def keras_attention(*arguments):
    command = [sys.executable, "-m", "keras_attention_command", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def measure(task, count, folder):
    """A row of the table: what was chosen, seconds, exact match, advice."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in zip(("train", "test"), pairs(task, count), strict=True):
        text = "".join(f"{source}\t{target}\n" for source, target in rows)
        (folder / f"{name}.tsv").write_text(text, "utf-8")
    run, start = folder / "run", time.perf_counter()
    shown = keras_attention("train", "--train", folder / "train.tsv", "--run", run)
    seconds = time.perf_counter() - start
    chosen = dict(re.findall(r"--(\S+) (\w+)", re.search("chosen from.*", shown)[0]))
    advice = shown.partition("Best model")[2].partition("\n")[2].strip().replace("\n", " ")
    result = keras_attention("evaluate", "--run", run, "--test", folder / "test.tsv")
    match = re.search(r"exact match ([\d.]+)", result)[1]
    kinds = f"{chosen['source-tokenizer']}, {chosen['target-tokenizer']}"
    row = (task, f"{count:,}", kinds, chosen["batch-size"], chosen["epochs"], f"{seconds:.0f} s")
    return (*row, f"{match} %", advice or "none")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tasks", nargs="*", help=f"some of {' '.join(TASKS)}; else all")
    parser.add_argument("--folder", type=Path, default=Path("runs/defaults"))
    options = parser.parse_args()
    print("| task | pairs | source, target tokens | batch | epochs | time | exact match | advice |")
    print("|---|---|---|---|---|---|---|---|")
    for task in options.tasks or TASKS:
        row = measure(task, TASKS[task], options.folder / task)
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
