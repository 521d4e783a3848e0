"""The folder of one training run: settings, vocabularies, best model, state of training."""

import contextlib
import dataclasses
import json
import math
import os
import uuid
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_attention.text import Tokenizer
from keras_attention.training.run_lock import locked
from keras_attention_command.settings import FORMER_NAMES, Settings


class RunFolder:
    """Reads and writes the files of a run. Every file is replaced in one step.

    Args:
        path: the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.model_path = self.path / "model.keras"

    def exists(self) -> bool:
        return (self.path / "settings.json").is_file()

    def has_model(self) -> bool:
        return self.model_path.is_file()

    def check_new(self) -> None:
        """Refuses a folder with something in it that a new run would overwrite."""
        if self.exists() and self.has_model():
            raise ValueError(f"{self.path}: Expected a new folder, or --resume. Received: a run")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from training the run, and clears what a killed one left."""
        with locked(self.path):
            for unfinished in self.path.glob(".unfinished*"):
                unfinished.unlink()
            yield

    def start(
        self, settings: Settings, source_tokenizer: Tokenizer, target_tokenizer: Tokenizer
    ) -> None:
        """Writes everything but a model."""
        for name, tokenizer in (
            ("source.model", source_tokenizer),
            ("target.model", target_tokenizer),
        ):
            with self._replacing(name) as path:
                tokenizer.save(path)
        self._write_json("state.json", {"epoch": 0, "best": None})
        self.save_settings(settings)

    def save_settings(self, settings: Settings) -> None:
        self._write_json("settings.json", dataclasses.asdict(settings))

    def settings(self) -> Settings:
        stored = self._read_json("settings.json")
        values = {FORMER_NAMES.get(name, name): value for name, value in stored.items()}
        unknown = set(values) - {field.name for field in dataclasses.fields(Settings)}
        if unknown:
            raise ValueError(
                f"{self.path}: Expected the settings of a run of this version. "
                f"Received: {', '.join(sorted(unknown))}"
            )
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return Settings(**{**values, **lists})

    def tokenizers(self) -> tuple[Tokenizer, Tokenizer]:
        """Source and target tokenizer."""
        source, target = self._existing("source.model"), self._existing("target.model")
        return Tokenizer.load(source), Tokenizer.load(target)

    def load_model(self) -> Any:
        """The best model so far, with its optimizer."""
        path = self._existing("model.keras")
        if not zipfile.is_zipfile(path):
            raise ValueError(f"{path}: Expected a model that Keras saved. Received: another file")
        return keras.saving.load_model(path)

    def save_model(self, model: Any, epoch: int, best: float | None) -> None:
        """Makes `model` the best so far.

        Args:
            epoch: epochs done.
            best: its figure, the loss on the development set; None if not measured.
        """
        with self._replacing("model.keras") as path:
            model.save(path)
        self._write_json("state.json", {"epoch": epoch, "best": best})

    def state(self) -> dict[str, Any]:
        """`{"epoch": epochs done by the best model, "best": its loss on the development set}`."""
        return self._read_json("state.json")

    def save_training(
        self, epoch: int, best: float | None, arrays: Mapping[str, Sequence[Any]]
    ) -> None:
        """Keeps what training goes on from, which is not the best model but the last.

        Args:
            epoch: epochs done.
            best: the lowest loss so far, or None.
            arrays: lists of arrays by name.
        """
        named = {f"{name}.{i}": x for name, values in arrays.items() for i, x in enumerate(values)}
        with self._replacing("training.npz") as path:
            np.savez(path, epoch=epoch, best=math.nan if best is None else best, **named)

    def load_training(self) -> tuple[int, float | None, dict[str, list[Any]]] | None:
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
        arrays: dict[str, list[Any]] = {}
        for name, array in values.items():
            arrays.setdefault(name.rpartition(".")[0], []).append(array)
        return epoch, None if math.isnan(best) else best, arrays

    def _existing(self, name: str) -> Path:
        path = self.path / name
        if not path.is_file():
            raise FileNotFoundError(f"{self.path}: Expected a training run. Received: no {name}")
        return path

    def _read_json(self, name: str) -> Any:
        return json.loads(self._existing(name).read_text("utf-8"))

    def _write_json(self, name: str, value: Any) -> None:
        with self._replacing(name) as path:
            path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")

    @contextlib.contextmanager
    def _replacing(self, name: str) -> Iterator[Path]:
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
