"""Trains WaveNet and an LSTM on lines of text, and compares their bits per character.

python -m characters --train train.en.gz --dev val.en.gz [--test test.en.gz]
"""

import gzip
import time
from pathlib import Path

import click
import keras
import numpy as np

import keras_attention as ka
from characters.n_gram import NGram

START_ID, END_ID, FIRST_ID = 2, 3, 4


def read_lines(path):
    opened = gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open()
    with opened as file:
        return [line.rstrip("\n") for line in file]


def arrays(lines, ids):
    """Inputs and labels int32 `(B, T)`; unknown characters are token 1."""
    tokens = [[ids.get(character, 1) for character in line] for line in lines]
    labels = np.zeros((len(lines), max(map(len, tokens)) + 1), "int32")
    for row, line in zip(labels, tokens, strict=True):
        row[: len(line) + 1] = [*line, END_ID]
    inputs = np.pad(labels[:, :-1], [(0, 0), (1, 0)], constant_values=START_ID)
    return np.where(inputs == END_ID, 0, inputs), labels


def batches(lines, ids, size, seed=None):
    """Batches of lines of similar length, in random order, padded to a multiple of 16."""
    order = np.argsort([len(line) for line in lines], kind="stable")
    groups = [order[i : i + size] for i in range(0, len(order), size)]
    if seed is not None:
        np.random.default_rng(seed).shuffle(groups)
    for rows in groups:
        inputs, labels = arrays([lines[i] for i in rows], ids)
        more = [(0, 0), (0, -inputs.shape[1] % 16)]
        yield np.pad(inputs, more), np.pad(labels, more)


class LstmModel(ka.LanguageModel):
    """Language model of an LSTM over embedded characters, the peer of WaveNet."""

    def __init__(self, vocabulary_size, units, embedding_dim, dropout):
        super().__init__()
        self.embedding = keras.layers.Embedding(vocabulary_size, embedding_dim)
        self.lstm = keras.layers.LSTM(units, return_sequences=True)
        self.drop = keras.layers.Dropout(dropout)
        self.logits = keras.layers.Dense(vocabulary_size)

    def predict_next(self, tokens, training=None):
        x = self.drop(self.lstm(self.embedding(tokens)), training=training)
        return self.logits(x)


def bits_per_character(model, lines, ids):
    """Mean bits of the model over the characters and the end of each line."""
    loss, bits, count = ka.SequenceCrossentropy(), 0.0, 0
    for inputs, labels in batches(lines, ids, 64):
        logits = model.predict_on_batch(inputs)
        number = np.count_nonzero(labels)
        bits += float(loss(labels, logits)) * number / np.log(2)
        count += number
    return bits / count


def fit(model, train, ids, epochs, batch_size, learning_rate, seed):
    """Trains the model; returns the seconds of processor time."""
    steps = -(-len(train) // batch_size) * epochs
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - 50), warmup_target=learning_rate, warmup_steps=min(50, steps)
    )
    model.compile(
        keras.optimizers.Adam(schedule, global_clipnorm=1.0), loss=ka.SequenceCrossentropy()
    )
    start = time.process_time()
    for epoch in range(epochs):
        for batch in batches(train, ids, batch_size, seed=(seed, epoch)):
            model.train_on_batch(*batch)
    return time.process_time() - start


def text_of(tokens, characters):
    return "".join(characters[i - FIRST_ID] for i in tokens if i >= FIRST_ID)


@click.command()
@click.option("--train", required=True, type=click.Path(path_type=Path))
@click.option("--dev", required=True, type=click.Path(path_type=Path))
@click.option("--test", type=click.Path(path_type=Path), help="Lines for the last figure.")
@click.option("--epochs", default=2, show_default=True)
@click.option("--units", default=64, show_default=True, help="Of WaveNet.")
@click.option("--lstm-units", default=192, show_default=True)
@click.option("--batch-size", default=64, show_default=True)
@click.option("--learning-rate", default=4e-3, show_default=True)
@click.option("--order", default=6, show_default=True, help="Of the n-grams.")
@click.option("--prompt", default="A man in a ", show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(train, dev, test, epochs, units, lstm_units, batch_size, learning_rate, order, **others):
    """Print the bits per character of WaveNet, an LSTM and n-grams."""
    lines = {"train": read_lines(train), "dev": read_lines(dev)}
    if test is not None:
        lines["test"] = read_lines(test)
    characters = sorted(set("".join(lines["train"])))
    ids = {character: i for i, character in enumerate(characters, start=FIRST_ID)}
    size = FIRST_ID + len(characters)
    seed = others["seed"]

    def report(name, parameters, seconds, measure):
        found = "  ".join(f"{s} {measure(x):.3f}" for s, x in lines.items() if s != "train")
        cost = f"{parameters} parameters, {seconds:.0f} s of processor time"
        click.echo(f"{name}: {cost}, bits per character: {found}")

    start = time.process_time()
    grams = NGram(lines["train"], order, size - 2)
    seconds = time.process_time() - start
    report(
        f"{order}-grams",
        sum(map(len, grams.counts.values())),
        seconds,
        lambda x: sum(map(grams.bits, x)) / sum(len(line) + 1 for line in x),
    )
    keras.utils.set_random_seed(seed)
    wavenet = ka.WaveNet(size, units=units, dropout=0.1)
    models = {"WaveNet": wavenet, "LSTM": LstmModel(size, lstm_units, units, 0.1)}
    for name, model in models.items():
        seconds = fit(model, lines["train"], ids, epochs, batch_size, learning_rate, seed)
        report(
            name,
            model.count_params(),
            seconds,
            lambda x, model=model: bits_per_character(model, x, ids),
        )
    prompt = np.array([[ids.get(x, 1) for x in others["prompt"]]] * 3)
    drawn = wavenet.generate(prompt, seeds=np.arange(3), temperature=0.7, max_length=80)
    for row in np.array(drawn.ids):
        click.echo(others["prompt"] + text_of(row, characters))


if __name__ == "__main__":
    main()
