"""Trains a text-to-text model and keeps the best of it."""

import collections
import dataclasses
import math
import random
import warnings

import keras
import numpy as np

from keras_attention.architectures import build_model
from keras_attention.losses import SequenceCrossentropy
from keras_attention.metrics import SequenceAccuracy, TokenAccuracy
from keras_attention.progress import TrainingProgress
from keras_attention.schedules import InverseSquareRoot
from keras_attention.text import Batches, Tokenizer

# By name: functions of the highest rate, the steps of warm-up and all steps.
SCHEDULES = {
    "cosine": lambda rate, warmup, steps: keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warmup), warmup_target=rate, warmup_steps=warmup
    ),
    "noam": lambda rate, warmup, steps: InverseSquareRoot(rate, max(1, warmup)),
}
LONGEST = 1.5  # answers may be this much longer than the longest target seen in training


def train(folder, train_pairs, dev_pairs, settings, console=None):
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
    keras.utils.set_random_seed(settings.seed)
    source_tokenizer, target_tokenizer = train_tokenizers(train_pairs, settings)
    if not settings.max_length:
        longest = max(len(x) for x in target_tokenizer.tokenize_all([t for _, t in train_pairs]))
        settings = dataclasses.replace(settings, max_length=int(longest * LONGEST) + 1)
    model = build_model(
        settings, source_tokenizer.vocabulary_size, target_tokenizer.vocabulary_size
    )
    steps = -(-len(train_pairs) // settings.batch_size) * settings.epochs
    schedule = SCHEDULES[settings.schedule](settings.learning_rate, settings.warmup_steps, steps)
    model.compile(
        keras.optimizers.Adam(
            schedule,
            beta_2=settings.beta_2,
            global_clipnorm=settings.clip_norm or None,
            use_ema=settings.averaging > 0,
            ema_momentum=settings.averaging,
        ),
        loss=SequenceCrossentropy(settings.label_smoothing),
        metrics=[TokenAccuracy(), SequenceAccuracy()],
        jit_compile=False,  # XLA would compile anew for each length of source and target
    )
    model.optimizer.build(model.trainable_variables)
    folder.start(settings, source_tokenizer, target_tokenizer)
    folder.save_model(model, 0, None)  # so that a run can be gone on with from its first moment
    return _fit(folder, model, train_pairs, dev_pairs, settings, console)


def resume(folder, train_pairs, dev_pairs, console=None):
    """Goes on from the best model of a run, with the settings and vocabularies of that run.

    With averaging, the best model is an average of weights: training goes on from there.
    """
    return _fit(folder, folder.load_model(), train_pairs, dev_pairs, folder.settings(), console)


def train_tokenizers(pairs, settings):
    """Source and target tokenizer for the texts of `pairs`."""
    source = Tokenizer.train(
        (source for source, _ in _sample(pairs, settings.seed)),
        settings.source_tokens,
        settings.source_vocabulary,
        settings.normalization,
        settings.source_symbols,
    )
    # Targets keep their case: it is part of the answer.
    target = Tokenizer.train(
        (target for _, target in _sample(pairs, settings.seed)),
        settings.target_tokens,
        settings.target_vocabulary,
        settings.normalization.removesuffix("_cf"),
        settings.target_symbols,
    )
    return source, target


def _sample(pairs, seed, most=200_000):
    """A vocabulary does not get better with more lines than this, only slower to make."""
    return pairs if len(pairs) <= most else random.Random(seed).sample(pairs, most)


def _fit(folder, model, train_pairs, dev_pairs, settings, console):
    tokenizers = folder.tokenizers()
    train_batches = Batches(
        *_tokens(train_pairs, tokenizers), settings.batch_size, settings.seed, settings.looks
    )
    dev_batches = Batches(*_tokens(dev_pairs, tokenizers), settings.batch_size)
    # An epoch, to Keras, is what lies between two looks at the development lines.
    done = folder.state()["epoch"]
    progress = TrainingProgress(len(train_batches) * settings.epochs, settings.looks, console)
    progress.steps_done = len(train_batches) * done // settings.looks
    keeper = _KeepBest(folder)
    last = _LastModels(settings.average_last)
    callbacks = [_NumberEpochs(train_batches), keeper, last, progress]
    if settings.averaging:
        # Before the keeper, which is to find the average in the model; training goes on without.
        callbacks.insert(0, keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    try:
        with warnings.catch_warnings():
            # Parts of a pass may differ by a batch, which Keras takes for data that have run out.
            warnings.filterwarnings("ignore", "Your input ran out of data")
            history = model.fit(
                train_batches.dataset(),
                validation_data=dev_batches.dataset(),
                epochs=settings.epochs * settings.looks,
                initial_epoch=done,
                callbacks=callbacks,
                shuffle=False,  # the batches shuffle themselves
                verbose=0,
            )
        if len(last.weights) > 1:
            last.average()
            keeper.keep(model.evaluate(dev_batches.dataset(), verbose=0, return_dict=True)["loss"])
        return history
    except KeyboardInterrupt:
        if keeper.best is None:  # stopped in the first epoch: better than nothing
            folder.save_model(model, keeper.epoch, None)
        raise
    finally:
        progress.close()


def _tokens(pairs, tokenizers):
    """Source and target tokens of all pairs."""
    columns = zip(*pairs, strict=True)
    return [t.tokenize_all(list(c)) for t, c in zip(tokenizers, columns, strict=True)]


class _NumberEpochs(keras.callbacks.Callback):
    """Tells the batches which epoch it is: `fit` may look at batches before the first."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.epoch = epoch


class _KeepBest(keras.callbacks.Callback):
    """Keeps the model with the lowest loss on the development set, and how far it had come."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.epoch = folder.state()["epoch"]
        self.best = folder.state()["best"]

    def on_epoch_end(self, epoch, logs=None):
        self.epoch = epoch + 1
        loss = logs["val_loss"]
        if not math.isfinite(loss):
            raise ValueError(
                "Expected a finite loss; a lower learning rate or a higher beta_2 may help. "
                f"Received: {loss} after epoch {self.epoch}"
            )
        self.keep(loss)

    def keep(self, loss):
        if self.best is None or loss < self.best:
            self.best = loss
            self.folder.save_model(self.model, self.epoch, loss)


class _LastModels(keras.callbacks.Callback):
    """Remembers the weights at the last `count` looks, to average them when training is over."""

    def __init__(self, count):
        super().__init__()
        self.weights = collections.deque(maxlen=count)

    def on_epoch_end(self, epoch, logs=None):
        variables = self.model.trainable_variables
        self.weights.append([keras.ops.convert_to_numpy(x) for x in variables])

    def average(self):
        for variable, *values in zip(self.model.trainable_variables, *self.weights, strict=True):
            variable.assign(np.mean(values, axis=0))
