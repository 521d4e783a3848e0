"""The folder of one training run: settings, vocabularies, best model, state of training."""

import contextlib
import dataclasses
import json
import math
import os
import uuid
import zipfile
from pathlib import Path

import keras
import numpy as np

from keras_attention.run_lock import locked
from keras_attention.text import Tokenizer

# Of the settings that are numbers: the lowest value, and what every value is below.
RANGES = {
    **dict.fromkeys(("units", "layers", "heads", "kernel_size", "looks"), (1, math.inf)),
    # 0 is for what is chosen from the training lines.
    **dict.fromkeys(
        ("source_vocabulary", "target_vocabulary", "batch_size", "epochs"), (0, math.inf)
    ),
    **dict.fromkeys(
        ("attention_units", "embedding_dim", "feedforward_dim", "max_length", "max_source_length"),
        (0, math.inf),
    ),
    **dict.fromkeys(("warmup_steps", "average_last"), (0, math.inf)),
    **dict.fromkeys(("dropout", "label_smoothing", "beta_2", "averaging"), (0, 1)),
    **dict.fromkeys(("learning_rate", "clip_norm"), (0, math.inf)),
    "seed": (0, 2**32),
}
CHOICES = {
    "query": ("previous", "current"),
    "cell": ("gru", "lstm"),
    "norm": ("pre", "post"),
    "positions": ("sinusoidal", "learned", "rotary", "alibi", "relative"),
    "schedule": ("cosine", "noam"),
}


def _setting(default, help):
    return dataclasses.field(default=default, metadata={"help": help})


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a model is built and trained; each field is an option of `keras-attention train`.

    Raises:
        ValueError: a value out of range.
    """

    architecture: str = _setting("rnn", "rnn, transformer, bytenet or convs2s.")
    attention: str = _setting("bahdanau", "Kind of attention, or none.")
    query: str = _setting("previous", "State that asks: previous (Bahdanau) or current (Luong).")
    attention_units: int = _setting(0, "Inner size of the score; 0 for as many as --units.")
    cell: str = _setting("gru", "gru or lstm.")
    units: int = _setting(128, "State of one layer and direction.")
    embedding_dim: int = _setting(0, "Size of the embeddings; 0 for as many as --units.")
    layers: int = _setting(1, "Layers in encoder and decoder each.")
    kernel_size: int = _setting(3, "Steps that a convolution of bytenet or convs2s sees.")
    heads: int = _setting(8, "Heads of each attention of a transformer.")
    feedforward_dim: int = _setting(0, "Inner layers of a transformer; 0 for 4 times --units.")
    norm: str = _setting("pre", "Where a transformer has its norms: pre or post.")
    positions: str = _setting(
        "sinusoidal", "Of a transformer: sinusoidal, learned, rotary, alibi or relative."
    )
    bidirectional: bool = _setting(True, "Whether the encoder reads in both directions.")
    dropout: float = _setting(0.0, "Fraction dropped in training.")
    tie_embeddings: bool = _setting(False, "Whether target embeddings are output weights, too.")
    source_tokens: str = _setting(
        "auto", "char, word, unigram or bpe; auto chooses from the lines."
    )
    target_tokens: str = _setting(
        "auto", "char, word, unigram or bpe; auto chooses from the lines."
    )
    source_vocabulary: int = _setting(0, "Most source tokens; 0 to choose from the lines.")
    target_vocabulary: int = _setting(0, "Most target tokens; 0 to choose from the lines.")
    normalization: str = _setting("nfkc", "nfkc, nfkc_cf (folds the case of sources) or identity.")
    source_symbols: tuple[str, ...] = _setting(
        (), "Source strings that are one token each, blanks between."
    )
    target_symbols: tuple[str, ...] = _setting(
        (), "Target strings that are one token each, blanks between."
    )
    batch_size: int = _setting(0, "Pairs in a batch; 0 to choose from the lines.")
    epochs: int = _setting(0, "Passes over the training lines; 0 to choose from them.")
    looks: int = _setting(
        1, "Looks at the development lines in each pass; the best model of all is kept."
    )
    learning_rate: float = _setting(2e-3, "Adam's, at its highest.")
    schedule: str = _setting(
        "cosine", "How the learning rate falls: cosine, to 0, or noam, as the root of the steps."
    )
    warmup_steps: int = _setting(50, "Steps in which the learning rate rises from 0.")
    beta_2: float = _setting(0.98, "Adam's memory of squared gradients.")
    clip_norm: float = _setting(1.0, "Largest norm of all gradients as one; 0 for any.")
    averaging: float = _setting(
        0.0,
        "Momentum of a moving average of the weights, which is what is kept; 0.999 looks back at "
        "about 1000 steps; 0 for no average.",
    )
    average_last: int = _setting(
        0,
        "Looks at the end whose models are averaged; the average is kept if its loss is lower than "
        "that of each. 0 for none.",
    )
    label_smoothing: float = _setting(0.0, "Probability spread over all tokens.")
    max_length: int = _setting(
        0, "Most tokens of an answer; 0 for 1.5 times the longest seen, but for outliers."
    )
    max_source_length: int = _setting(
        0, "Most tokens of a text that a server reads; 0 as for --max-length, of the sources."
    )
    seed: int = _setting(1, "Of weights, batches and dropout.")

    def __post_init__(self):
        for name, (lowest, end) in RANGES.items():
            value = getattr(self, name)
            if not lowest <= value < end:
                limits = f"{name} >= {lowest}" if end == math.inf else f"{lowest} <= {name} < {end}"
                raise ValueError(f"Expected {limits}. Received: {name}={value}")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"Expected {name} to be one of {choices}. "
                    f"Received: {name}={getattr(self, name)!r}"
                )
        recurrent = self.architecture == "rnn"
        if recurrent and self.attention == "luong-dot" and self.bidirectional:
            raise ValueError(
                "Expected an encoder of one direction with attention='luong-dot', which compares "
                "states of one size. Received: bidirectional=True"
            )


class RunFolder:
    """Reads and writes the files of a run. Every file is replaced in one step.

    Args:
        path: the folder.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.model_path = self.path / "model.keras"

    def exists(self):
        return (self.path / "settings.json").is_file()

    def has_model(self):
        return self.model_path.is_file()

    def check_new(self):
        """Refuses a folder with something in it that a new run would overwrite."""
        if self.exists() and self.has_model():
            raise ValueError(f"{self.path}: Expected a new folder, or --resume. Received: a run")

    @contextlib.contextmanager
    def locked(self):
        """Keeps other processes from training the run, and clears what a killed one left."""
        with locked(self.path):
            for unfinished in self.path.glob(".unfinished*"):
                unfinished.unlink()
            yield

    def start(self, settings, source_tokenizer, target_tokenizer):
        """Writes everything but a model."""
        for name, tokenizer in (
            ("source.model", source_tokenizer),
            ("target.model", target_tokenizer),
        ):
            with self._replacing(name) as path:
                tokenizer.save(path)
        self._write_json("state.json", {"epoch": 0, "best": None})
        self.save_settings(settings)

    def save_settings(self, settings):
        self._write_json("settings.json", dataclasses.asdict(settings))

    def settings(self):
        values = self._read_json("settings.json")
        unknown = set(values) - {field.name for field in dataclasses.fields(Settings)}
        if unknown:
            raise ValueError(
                f"{self.path}: Expected the settings of a run of this version. "
                f"Received: {', '.join(sorted(unknown))}"
            )
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return Settings(**{**values, **lists})

    def tokenizers(self):
        """Source and target tokenizer."""
        names = ("source.model", "target.model")
        return tuple(Tokenizer.load(self._existing(name)) for name in names)

    def load_model(self):
        """The best model so far, with its optimizer."""
        path = self._existing("model.keras")
        if not zipfile.is_zipfile(path):
            raise ValueError(f"{path}: Expected a model that Keras saved. Received: another file")
        return keras.saving.load_model(path)

    def save_model(self, model, epoch, best):
        """Makes `model` the best so far.

        Args:
            epoch: epochs done.
            best: its figure, the loss on the development set; None if not measured.
        """
        with self._replacing("model.keras") as path:
            model.save(path)
        self._write_json("state.json", {"epoch": epoch, "best": best})

    def state(self):
        """`{"epoch": epochs done by the best model, "best": its loss on the development set}`."""
        return self._read_json("state.json")

    def save_training(self, epoch, best, arrays):
        """Keeps what training goes on from, which is not the best model but the last.

        Args:
            epoch: epochs done.
            best: the lowest loss so far, or None.
            arrays: lists of arrays by name.
        """
        named = {f"{name}.{i}": x for name, values in arrays.items() for i, x in enumerate(values)}
        with self._replacing("training.npz") as path:
            np.savez(path, epoch=epoch, best=math.nan if best is None else best, **named)

    def load_training(self):
        """Epochs done, the lowest loss and the arrays that were kept; None if nothing was."""
        path = self.path / "training.npz"
        if not path.is_file():
            return None
        try:
            with np.load(path) as file:
                values = dict(file)
            epoch, best = int(values.pop("epoch")), float(values.pop("best"))
        except (ValueError, EOFError, KeyError, zipfile.BadZipFile):
            raise ValueError(
                f"{path}: Expected what a run goes on from. Received: another file"
            ) from None
        arrays: dict[str, list] = {}
        for name, array in values.items():
            arrays.setdefault(name.rpartition(".")[0], []).append(array)
        return epoch, None if math.isnan(best) else best, arrays

    def _existing(self, name):
        path = self.path / name
        if not path.is_file():
            raise FileNotFoundError(f"{self.path}: Expected a training run. Received: no {name}")
        return path

    def _read_json(self, name):
        return json.loads(self._existing(name).read_text("utf-8"))

    def _write_json(self, name, value):
        with self._replacing(name) as path:
            path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")

    @contextlib.contextmanager
    def _replacing(self, name):
        """A path to write to, which takes the place of file `name` when all is written."""
        # A name that no other process has; the ending tells Keras and NumPy what to write.
        unfinished = self.path / f".unfinished-{uuid.uuid4().hex}-{name}"
        try:
            yield unfinished
            os.replace(unfinished, self.path / name)
        except OSError as error:
            raise OSError(
                f"{self.path}: Expected room for {name}; what was kept before is still there. "
                f"Received: {error.strerror or error}"
            ) from error
        finally:
            unfinished.unlink(missing_ok=True)
