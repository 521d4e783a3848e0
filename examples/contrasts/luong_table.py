"""Luong's table 4 on pronunciations: global and local scores, with and without input feeding.

PYTHONPATH=examples python -m contrasts.luong_table --train FILE --test FILE
    [--seed 1] [--steps 1000] [--picture FILE]

Files are lines of a word, a tab and its phonemes, UTF-8, .gz as well, such as those of CMUdict; the
digits of stress are left out, and so are words of more than 16 letters or 15 phonemes. A word is
right if its answer is any pronunciation that the file has.
The table has the figures of Luong, Pham and Manning (2015) beside ours: theirs are of translation
from English to German, with four layers of 1000 units, so only the order can be compared.
"""

import itertools
import re
from pathlib import Path

import click
import keras
import numpy as np
from matplotlib.figure import Figure

import keras_attention as ka
from contrasts.experiment import FIRST, Trainer, options, pack, predict, print_table, save

UNITS, BATCH, LONGEST, WINDOW = 48, 128, 16, 3


class FixedConcat(ka.LuongAttention):
    """Concat score whose W is the identity for the query, as in the paper's experiments."""

    def project_query(self, query):
        return query


def scorers(units):
    """Functions by name that create each scorer."""
    return {
        "location": lambda: ka.LuongAttention("location", max_length=LONGEST),
        "dot": lambda: ka.LuongAttention("dot"),
        "general": lambda: ka.LuongAttention("general"),
        "concat": lambda: ka.LuongAttention("concat", units=units),
        "concat, W of the query fixed": lambda: FixedConcat("concat", units=units),
    }


# Perplexity and BLEU of the paper's table 4, all fed; of its footnote on concat, whose W was fixed,
# the perplexity alone. It has 7.1 for both kinds of local concat.
PAPER = {
    ("global", "location"): "6.4 / 18.1",
    ("global", "dot"): "6.1 / 18.6",
    ("global", "general"): "6.1 / 17.3",
    ("global", "concat, W of the query fixed"): "6.7 / –",
    ("local-m", "dot"): "> 7.0 / –",
    ("local-m", "general"): "6.2 / 18.6",
    ("local-p", "dot"): "6.6 / 18.0",
    ("local-p", "general"): "5.9 / 19.0",
}
ROWS = [
    (kind, score)
    for kind, score in itertools.product(("global", "local-m", "local-p"), scorers(1))
    if kind == "global" or score in ("dot", "general", "concat")
]


def feedings(kind):
    """Values of input feeding for a row: both, but for local attention as in the paper's table."""
    return (False, True) if kind == "global" else (True,)


def attention(kind, score, units=UNITS):
    scorer = scorers(units)[score]()
    if kind == "global":
        return scorer
    position = {"local-m": "monotonic", "local-p": "predictive"}[kind]
    return ka.LocalAttention(scorer, window=WINDOW, position=position)


class LuongSeq2Seq(ka.Seq2Seq):
    """Decoder of the paper: h~ = tanh(W [c; h]) gives the logits and, with feeding, the next input.

    The encoder is bidirectional; its final state is the decoder's initial state.
    """

    def __init__(self, source_size, target_size, units, attention, feeding):
        super().__init__()
        layers = keras.layers
        self.encoder = ka.models.RNNEncoder(source_size, units // 2, units, cell="lstm")
        self.decoder = ka.models.AttentionDecoder(
            ka.models.AttentionCell(
                layers.LSTMCell(units),
                attention,
                attention_layer_size=units,
                attention_activation="tanh",
                cell_input="concat" if feeding else "input",
            ),
            output_layer=layers.Dense(target_size),
            embedding=layers.Embedding(target_size, units),
        )

    def call(self, inputs, training=None):
        mask = inputs["source"] != 0
        memory, (state,) = self.encoder(inputs["source"], source_mask=mask, training=training)
        return self.decoder(
            inputs["target"], memory, memory_mask=mask, initial_state=state, training=training
        )


class Words:
    """Words and their pronunciations as tokens, those of `train` numbered by first appearance."""

    def __init__(self, train):
        letters = dict.fromkeys(letter for word, _ in train for letter in word)
        phonemes = dict.fromkeys(phoneme for _, said in train for phoneme in said)
        self.letters = {letter: FIRST + i for i, letter in enumerate(letters)}
        self.phonemes = {phoneme: FIRST + i for i, phoneme in enumerate(phonemes)}

    def tokens(self, pairs):
        """Tokens of all words and pronunciations; unknown symbols are token 1."""
        sources = [[self.letters.get(letter, 1) for letter in word] for word, _ in pairs]
        return sources, [[self.phonemes.get(phoneme, 1) for phoneme in said] for _, said in pairs]


def read(path):
    """Pairs of a word and its phonemes without stress, those that fit."""
    from keras_attention.text import read_pairs

    pairs = [(word, re.sub(r"\d", "", said).split()) for word, said in read_pairs(path)]
    return [(word, said) for word, said in pairs if max(len(word), len(said) + 1) <= LONGEST]


def word_error_rate(right, pairs):
    """Share of the words for which greedy search finds none of the pronunciations.

    Args:
        right: for each pair, whether all of its phonemes are predicted, given those before.
        pairs: words and pronunciations, several of a word if it has several.
    """
    known = {}
    for (word, _), one in zip(pairs, right, strict=True):
        known[word] = known.get(word, False) or bool(one)
    return 1 - np.mean(list(known.values()))


def measure(train, test, steps, seed, rows=ROWS, units=UNITS, batch=BATCH, console=None):
    """By row and feeding: perplexity and word error rate on `test`, and seconds."""
    words = Words(train)
    sources, targets = words.tokens(train)
    sizes = FIRST + len(words.letters), FIRST + len(words.phonemes)
    inputs, labels = pack(*words.tokens(test), LONGEST, LONGEST)

    def draw(generator):
        chosen = generator.integers(0, len(sources), batch)
        return pack([sources[i] for i in chosen], [targets[i] for i in chosen], LONGEST, LONGEST)

    def look(model):
        logits = predict(model, inputs).astype("float64")
        log_sums = np.log(np.sum(np.exp(logits - logits.max(-1, keepdims=True)), -1))
        log_sums += logits.max(-1)
        gains = np.take_along_axis(logits, labels[..., None], -1)[..., 0] - log_sums
        perplexity = np.exp(-gains[labels != 0].mean())
        right = np.all((logits.argmax(-1) == labels) | (labels == 0), axis=1)
        return perplexity, word_error_rate(right, test)

    results, models = {}, 1 + sum(len(feedings(kind)) for kind, _ in rows)
    with Trainer(models, steps, seed, console) as trainer:

        def one(name, make):
            _, seconds, (figures,) = trainer.train(name, make, draw, 1e-2, look=look)
            trainer.bar.console.print("perplexity {:.3f}, words wrong {:.2%}".format(*figures))
            return (*figures, seconds)

        results["none"] = one(
            "no attention", lambda: ka.RNNSeq2Seq(*sizes, units=units, cell="lstm")
        )
        for row in rows:
            for feeding in feedings(row[0]):
                results[(*row, feeding)] = one(
                    ", ".join(row) + ", fed" * feeding,
                    lambda row=row, feeding=feeding: LuongSeq2Seq(
                        *sizes, units, attention(*row, units), feeding
                    ),
                )
    return results


def draw_figure(results, rows=ROWS):
    figure = Figure(figsize=(8, 0.35 * len(rows) + 1.2))
    axes = figure.add_subplot()
    for feeding, mark, label in ((False, "o", "without input feeding"), (True, "s", "with")):
        of = [(i, (*row, feeding)) for i, row in enumerate(rows) if feeding in feedings(row[0])]
        perplexities = [results[key][0] for _, key in of]
        axes.plot(perplexities, [i for i, _ in of], mark, label=label)
    axes.axvline(results["none"][0], color="0.6", linestyle="--", label="no attention")
    axes.set_yticks(range(len(rows)), [", ".join(row) for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("perplexity of a phoneme")
    axes.grid(axis="x", color="0.9")
    axes.legend()
    return figure


def report(results, picture, rows=ROWS):
    """Prints the table and writes the picture."""

    def figures(key):
        if key not in results:
            return [""] * 3
        perplexity, words, seconds = results[key]
        return f"{perplexity:.3f}", f"{words:.1%}", f"{seconds:.0f}"

    print_table(
        "perplexity, word error rate, seconds; the paper's perplexity / BLEU, fed",
        (
            "attention",
            "score",
            *("ppl", "WER", "s"),
            *("fed: ppl", "WER", "s"),
            "paper",
        ),
        [
            ("none", "", *figures("none"), *[""] * 4),
            *(
                (*row, *figures((*row, False)), *figures((*row, True)), PAPER.get(row, ""))
                for row in rows
            ),
        ],
    )
    save(draw_figure(results, rows), picture)


@click.command()
@click.option("--train", type=Path, required=True, help="word, tab, phonemes in each line")
@click.option("--test", type=Path, required=True, help="the same, of other words")
@options(steps=1000, picture="luong_table.png")
def main(train, test, seed, steps, picture):
    """Luong's table 4: global and local scores, with and without input feeding."""
    train, test = read(train), read(test)
    click.echo(f"{len(train)} lines to train on, {len(test)} to test with")
    results = measure(train, test, steps, seed)
    report(results, picture)


if __name__ == "__main__":
    main()
