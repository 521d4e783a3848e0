"""Trains a text-to-text model and keeps the best of it."""

import collections
import dataclasses
import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
from rich.console import Console

from keras_attention._types import Pairs
from keras_attention.losses import SequenceCrossentropy
from keras_attention.metrics import SequenceAccuracy, TokenAccuracy
from keras_attention.models import Seq2Seq
from keras_attention.schedules import InverseSquareRoot
from keras_attention.text import Batches, Tokenizer
from keras_attention.training.architectures import build_model
from keras_attention.training.defaults import (
    choose_max_length,
    choose_settings,
    warn_of_long_targets,
)
from keras_attention.training.interruption import Interruption
from keras_attention.training.progress import TrainingProgress
from keras_attention.training.run_folder import RunFolder
from keras_attention.training.weight_average import WeightAverage
from keras_attention_command.settings import Settings

# By name: functions of the highest rate, the steps of warm-up and all steps.
SCHEDULES: dict[str, Callable[[float, int, int], Any]] = {
    "cosine": lambda rate, warmup, steps: keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warmup), warmup_target=rate, warmup_steps=warmup
    ),
    "noam": lambda rate, warmup, steps: InverseSquareRoot(rate, max(1, warmup)),
}


def train(
    folder: RunFolder,
    train_pairs: Pairs,
    dev_pairs: Pairs,
    settings: Settings,
    console: Console | None = None,
) -> Any:
    """Trains from the beginning and keeps the model with the lowest loss on `dev_pairs`.

    Args:
        folder: a `RunFolder` without a run in it.
        train_pairs: list of (source, target) texts.
        dev_pairs: the same, for choosing the model.
        settings: `Settings`.
        console: a `rich` console for the progress.

    Returns:
        The history of `fit`.

    Raises:
        ValueError: settings that do not fit each other or the texts, or a loss that is no number.
        KeyboardInterrupt: after the best model so far has been kept.
    """
    with folder.locked():
        folder.check_new()
        return _begin(folder, train_pairs, dev_pairs, settings, console)


def resume(
    folder: RunFolder,
    train_pairs: Pairs,
    dev_pairs: Pairs,
    console: Console | None = None,
    epochs: int | None = None,
) -> Any:
    """Goes on with a run from its last validation, and ends as if it had never been stopped.

    A run that was killed before its first validation begins anew.

    Args:
        folder: the `RunFolder` of the run, whose settings and vocabularies stay.
        train_pairs: the texts of the run.
        dev_pairs: the same.
        console: a `rich` console for the progress.
        epochs: passes in all from now on, if not those of the settings. The learning rate is that
            of a run with so many from here on.

    Returns:
        The history of the validations that were left; empty if none was.

    Raises:
        ValueError: no run, `epochs` that are done already, and what `train` raises.
        KeyboardInterrupt: as from `train`.
    """
    if not folder.exists():
        raise ValueError(
            f"{folder.path}: Expected a run with a model to go on from. Received: none"
        )
    with folder.locked():
        settings, kept = folder.settings(), folder.load_training()
        if kept is None and folder.has_model() and folder.state()["epoch"]:
            raise ValueError(
                f"{folder.path}: Expected what a run goes on from, a training.npz. "
                "Received: a run without, of a version that did not keep it"
            )
        if epochs is not None:
            done = kept[0] / settings.validations_per_epoch if kept else 0
            if epochs < done:
                raise ValueError(
                    f"Expected epochs >= {done:.3g}, which are done. Received: epochs={epochs}"
                )
            settings = dataclasses.replace(settings, epochs=epochs)
            folder.save_settings(settings)
        if kept is None:
            return _begin(folder, train_pairs, dev_pairs, settings, console)
        keras.utils.set_random_seed(settings.seed)
        model = _compiled(settings, folder.tokenizers(), len(train_pairs))
        return _fit(folder, model, train_pairs, dev_pairs, settings, console, kept)


def _begin(
    folder: RunFolder,
    train_pairs: Pairs,
    dev_pairs: Pairs,
    settings: Settings,
    console: Console | None,
) -> Any:
    settings, reasons = choose_settings(settings, train_pairs)
    if console and reasons:
        console.print(reasons, markup=False, highlight=False, soft_wrap=True)
    keras.utils.set_random_seed(settings.seed)
    source_tokenizer, target_tokenizer = train_tokenizers(train_pairs, settings)
    if not settings.max_length:
        lengths = [len(x) for x in target_tokenizer.tokenize_all([t for _, t in train_pairs])]
        settings = dataclasses.replace(settings, max_length=choose_max_length(lengths))
        if console:
            for line in warn_of_long_targets(train_pairs, lengths, settings.max_length):
                console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not settings.max_source_length:
        lengths = [len(x) for x in source_tokenizer.tokenize_all([s for s, _ in train_pairs])]
        settings = dataclasses.replace(settings, max_source_length=choose_max_length(lengths))
    model = _compiled(settings, (source_tokenizer, target_tokenizer), len(train_pairs))
    folder.start(settings, source_tokenizer, target_tokenizer)
    return _fit(folder, model, train_pairs, dev_pairs, settings, console)


def _compiled(settings: Settings, tokenizers: Sequence[Tokenizer], count: int) -> Seq2Seq:
    """The model for `count` pairs, with its optimizer, both built."""
    model = build_model(settings, *(tokenizer.vocabulary_size for tokenizer in tokenizers))
    steps = -(-count // settings.batch_size) * settings.epochs
    schedule = SCHEDULES[settings.schedule](settings.learning_rate, settings.warmup_steps, steps)
    model.compile(
        keras.optimizers.Adam(
            schedule, beta_2=settings.beta_2, global_clipnorm=settings.clip_norm or None
        ),
        loss=SequenceCrossentropy(settings.label_smoothing),
        metrics=[TokenAccuracy(), SequenceAccuracy()],
        jit_compile=False,  # XLA would compile anew for each length of source and target
    )
    model.optimizer.build(model.trainable_variables)
    return model


def train_tokenizers(pairs: Pairs, settings: Settings) -> tuple[Tokenizer, Tokenizer]:
    """Source and target tokenizer for the texts of `pairs`."""
    pairs = _sample(pairs, settings.seed)
    sources, targets = zip(*pairs, strict=True)
    source = _train_tokenizer("source", sources, settings, settings.normalization)
    # Targets keep their case: it is part of the answer.
    normalization = settings.normalization.removesuffix("_cf")
    target = _train_tokenizer("target", targets, settings, normalization)
    return source, target


def _train_tokenizer(
    side: str, texts: Iterable[str], settings: Settings, normalization: str
) -> Tokenizer:
    kind, size, symbols = (
        getattr(settings, f"{side}_{name}") for name in ("tokenizer", "vocabulary", "symbols")
    )
    try:
        return Tokenizer.train(texts, kind, size, normalization, symbols)
    except ValueError as error:
        raise ValueError(
            f"{side} texts, --{side}-tokenizer, --{side}-vocabulary: {error}"
        ) from None


def _sample(pairs: Pairs, seed: int, most: int = 200_000) -> Any:
    """A vocabulary does not get better with more lines than this, only slower to make."""
    return pairs if len(pairs) <= most else random.Random(seed).sample(pairs, most)


def _fit(
    folder: RunFolder,
    model: Seq2Seq,
    train_pairs: Pairs,
    dev_pairs: Pairs,
    settings: Settings,
    console: Console | None,
    kept: Any = None,
) -> Any:
    tokenizers = folder.tokenizers()
    sources, targets = _tokens(train_pairs, tokenizers)
    train_batches = Batches(
        sources,
        targets,
        settings.batch_size,
        settings.seed,
        settings.validations_per_epoch,
    )
    dev_sources, dev_targets = _tokens(dev_pairs, tokenizers)
    dev_batches = Batches(dev_sources, dev_targets, settings.batch_size)
    # An epoch, to Keras, is what lies between two validations.
    validations = settings.epochs * settings.validations_per_epoch
    done, best, arrays = kept or (0, None, {})
    progress = TrainingProgress(
        len(train_batches) * settings.epochs, settings.validations_per_epoch, console
    )
    progress.steps_done = len(train_batches) * done // settings.validations_per_epoch
    keeper = _KeepBest(folder, best)
    last = _LastModels(settings.average_checkpoints)
    average = WeightAverage(settings.ema_momentum)
    state = _KeepState(folder, model, keeper, last, average)
    if kept:
        state.restore(arrays)
    else:  # at once: a kill while the first validation is kept leaves something to go on from
        state.keep(0)
    callbacks = [keeper, last, *([average] if settings.ema_momentum else []), state, progress]
    history = keras.callbacks.History()
    history.set_model(model)
    history.epoch = []
    try:
        with Interruption() as interruption:
            for validation in range(done, validations):
                # Each by itself, with a known number of batches: at the end of a dataset of unknown
                # size Keras runs one step too far, in which the optimizer and dropout go on.
                part = model.fit(
                    train_batches.dataset(validation),
                    validation_data=dev_batches.dataset(),
                    epochs=validations,
                    initial_epoch=validation,
                    callbacks=[*callbacks, interruption, _OneEpoch()],
                    shuffle=False,  # the batches shuffle themselves
                    verbose=0,
                )
                history.on_epoch_end(
                    validation, {name: values[0] for name, values in part.history.items()}
                )
            if len(last.weights) > 1:
                last.average(model)
                loss = model.evaluate(dev_batches.dataset(), verbose=0, return_dict=True)["loss"]
                keeper.keep(model, validations, loss)
        return history
    except KeyboardInterrupt:
        if not folder.has_model():  # stopped before the first validation: better than nothing
            folder.save_model(model, 0, None)
        raise
    finally:
        progress.close()


def _tokens(pairs: Pairs, tokenizers: Sequence[Tokenizer]) -> list[list[np.ndarray[Any, Any]]]:
    """Source and target tokens of all pairs."""
    columns = zip(*pairs, strict=True)
    return [t.tokenize_all(list(c)) for t, c in zip(tokenizers, columns, strict=True)]


class _OneEpoch(keras.callbacks.Callback):
    """Ends `fit` after an epoch."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = True


class _KeepBest(keras.callbacks.Callback):
    """Keeps the model with the lowest loss on the development set, and how far it had come."""

    def __init__(self, folder: RunFolder, best: float | None) -> None:
        super().__init__()
        self.folder = folder
        self.best = best

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        loss = logs["val_loss"]
        if not math.isfinite(loss):
            raise ValueError(
                "Expected a finite loss; a lower learning rate or a higher beta_2 may help. "
                f"Received: {loss} after epoch {epoch + 1}"
            )
        self.keep(self.model, epoch + 1, loss)

    def keep(self, model: Any, epoch: int, loss: float) -> None:
        if self.best is None or loss < self.best:
            self.best = loss
            self.folder.save_model(model, epoch, loss)


class _LastModels(keras.callbacks.Callback):
    """Remembers the weights at the last `count` validations, to average them at the end."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.weights: collections.deque[Any] = collections.deque(maxlen=count)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        variables = self.model.trainable_variables
        self.weights.append([keras.ops.convert_to_numpy(x).copy() for x in variables])

    def average(self, model: Any) -> None:
        for variable, *values in zip(model.trainable_variables, *self.weights, strict=True):
            variable.assign(np.mean(values, axis=0))


class _KeepState(keras.callbacks.Callback):
    """Keeps all that the next validation depends on, whether or not the model is the best."""

    def __init__(self, folder: RunFolder, model: Any, keeper: Any, last: Any, average: Any) -> None:
        super().__init__()
        self.folder = folder
        self.keeper = keeper
        self.last = last
        self.average = average
        # Seeds of dropout and noise are among the variables of a model, the step of schedules
        # among those of its optimizer.
        self.variables = {"model": model.variables, "optimizer": model.optimizer.variables}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.keep(epoch + 1)

    def keep(self, epoch: int) -> None:
        groups = {
            **self.variables,
            "average": self.average.values,
            **{f"last.{i}": weights for i, weights in enumerate(self.last.weights)},
        }
        arrays = {
            name: [keras.ops.convert_to_numpy(x) for x in values] for name, values in groups.items()
        }
        self.folder.save_training(epoch, self.keeper.best, arrays)

    def restore(self, arrays: Any) -> None:
        """Sets everything to what was kept."""
        for name, variables in self.variables.items():
            kept = arrays.get(name, [])
            if [x.shape for x in kept] != [tuple(x.shape) for x in variables]:
                raise ValueError(
                    f"{self.folder.path}: Expected a training.npz of the model that the settings "
                    "describe. Received: that of another"
                )
            for variable, value in zip(variables, kept, strict=True):
                variable.assign(value)
        self.average.values = [keras.ops.convert_to_tensor(x) for x in arrays.get("average", [])]
        for i in range(len(arrays)):
            if f"last.{i}" in arrays:
                self.last.weights.append(arrays[f"last.{i}"])
