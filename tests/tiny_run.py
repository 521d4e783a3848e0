"""One tiny run, trained once and read by every test that needs a trained model."""

import atexit
import contextlib
import dataclasses
import functools
import io
import shutil
import tempfile
from pathlib import Path

import keras
import pytest
from rich.console import Console

from keras_attention.training import trainer as training
from keras_attention.training.run_folder import RunFolder
from keras_attention_command.settings import Settings

MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
SETTINGS = Settings(
    source_tokenizer="char",
    target_tokenizer="char",
    source_vocabulary=4000,
    target_vocabulary=4000,
    normalization="nfkc_cf",
    units=17,
    batch_size=64,
    epochs=2,
    learning_rate=0.01,
    warmup_steps=2,
)


def dates(count, first=0):
    """Pairs such as ("7 Mar 2011", "2011-03-07")."""
    numbers = [
        (1 + 5 * i % 28, 7 * i % 12, 1990 + 11 * i % 40) for i in range(first, first + count)
    ]
    return [(f"{d} {MONTHS[m].title()} {y}", f"{y}-{m + 1:02}-{d:02}") for d, m, y in numbers]


TRAIN, DEV = dates(200), dates(40, first=200)


def settings(**changes):
    return dataclasses.replace(SETTINGS, **changes)


EPOCHS = 12  # enough for answers that look like dates and end

# What a test of the loop around the model needs of a model: little to trace.
SMALLEST = {"attention": "none", "bidirectional": False, "units": 5}


def quiet():
    """A console that writes to nowhere."""
    return Console(file=io.StringIO())


def train(path, console=None, **changes):
    """Trains in a new folder and returns it, and the history."""
    folder = RunFolder(path)
    history = training.train(folder, TRAIN, DEV, settings(**changes), console or quiet())
    return folder, history.history


@functools.cache
def trained():
    """The folder of a run of `EPOCHS` epochs; tests must not change it."""
    path = Path(tempfile.mkdtemp(prefix="keras-attention-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return train(path / "run", epochs=EPOCHS)[0]


@functools.cache
def trained_model():
    return trained().load_model()


class Stopped(BaseException):
    """What ends a process that is killed: nothing catches it."""


@contextlib.contextmanager
def stopped_after(steps, by=KeyboardInterrupt):
    """Within, raises `by` after so many training steps in all."""
    fit, left = keras.Model.fit, iter(range(steps - 1, -1, -1))

    def step(batch, logs):
        if next(left) == 0:
            raise by

    def stopping(self, *args, callbacks, **kwargs):
        last = keras.callbacks.LambdaCallback(on_train_batch_end=step)
        return fit(self, *args, callbacks=[*callbacks, last], **kwargs)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(by):
        patch.setattr(keras.Model, "fit", stopping)
        yield


def write_pairs(path, pairs):
    path.write_text("".join(f"{a}\t{b}\n" for a, b in pairs), "utf-8")
    return path
