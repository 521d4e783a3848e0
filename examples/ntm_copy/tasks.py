"""Sequences to copy, and items to recall: inputs, targets and the steps that count."""

import dataclasses

import keras
import numpy as np

# Streams of random numbers that share nothing: to train on, to choose settings by, to report.
TRAIN, CHOOSE, REPORT = 0, 1, 2


@dataclasses.dataclass(frozen=True)
class Copy:
    """Copy task: vectors of random bits, a mark; then the same vectors as targets, inputs zero.

    Reference: Graves et al., 2014, section 4.1.
    """

    bits: int = 8
    sizes: tuple = (1, 20)
    buckets: tuple = (10, 20)

    def steps(self, size):
        return 2 * size + 1

    def batch(self, generator, count, size, padded_size):
        """Inputs `(B, T, D)`, targets `(B, T, bits)` and which steps are answers `(T,)`."""
        shape = (count, self.steps(padded_size))
        inputs = np.zeros((*shape, self.bits + 1), "float32")
        targets = np.zeros((*shape, self.bits), "float32")
        vectors = generator.integers(0, 2, (count, size, self.bits))
        inputs[:, :size, : self.bits] = vectors
        inputs[:, size, self.bits] = 1
        targets[:, size + 1 : 2 * size + 1] = vectors
        return inputs, targets, np.isin(np.arange(shape[1]), np.arange(size + 1, 2 * size + 1))


@dataclasses.dataclass(frozen=True)
class Recall:
    """Recall task: items of three vectors, each after a mark, then one of them as the question.

    The question stands between marks of its own; the target is the item that followed it.

    Reference: Graves et al., 2014, section 4.3.
    """

    bits: int = 6
    sizes: tuple = (2, 6)
    buckets: tuple = (6,)
    length: int = 3  # of an item

    def steps(self, size):
        return (size + 1) * (self.length + 1) + 1 + self.length

    def batch(self, generator, count, size, padded_size):
        """Inputs `(B, T, D)`, targets `(B, T, bits)` and which steps are answers `(T,)`."""
        shape, each = (count, self.steps(padded_size)), self.length + 1
        inputs = np.zeros((*shape, self.bits + 2), "float32")
        targets = np.zeros((*shape, self.bits), "float32")
        items = generator.integers(0, 2, (count, size, self.length, self.bits))
        for i in range(size):
            inputs[:, i * each, self.bits] = 1
            inputs[:, i * each + 1 : (i + 1) * each, : self.bits] = items[:, i]
        asked = generator.integers(0, size - 1, count)
        question, rows = size * each, np.arange(count)
        inputs[:, question, self.bits + 1] = 1
        inputs[:, question + 1 : question + each, : self.bits] = items[rows, asked]
        inputs[:, question + each, self.bits + 1] = 1
        answer = question + each + 1
        targets[:, answer : answer + self.length] = items[rows, asked + 1]
        return inputs, targets, np.isin(np.arange(shape[1]), answer + np.arange(self.length))


class Batches(keras.utils.PyDataset):
    """`count` new batches an epoch, each of sequences of one size, padded to few lengths."""

    def __init__(self, task, count, batch_size, seed):
        super().__init__()
        self.task, self.count, self.batch_size, self.seed = task, count, batch_size, seed
        self.epoch = 0

    def __len__(self):
        return self.count

    def on_epoch_end(self):
        self.epoch += 1

    def __getitem__(self, number):
        generator = np.random.default_rng([TRAIN, self.seed, self.epoch, number])
        low, high = self.task.sizes
        size = int(generator.integers(low, high + 1))
        padded = min(bucket for bucket in self.task.buckets if bucket >= size)
        inputs, targets, counts = self.task.batch(generator, self.batch_size, size, padded)
        # The loss is a mean over all steps: this makes it one over those that count.
        weights = np.broadcast_to(counts / counts.mean(), targets.shape[:2])
        return inputs, targets, weights.astype("float32")


def bit_error(model, task, size, padded_size, stream=REPORT, sequences=100):
    """Share of wrong bits, and wrong bits per sequence, of sequences never trained on."""
    generator = np.random.default_rng([stream, size])
    inputs, targets, counts = task.batch(generator, sequences, size, padded_size)
    found = model.predict(inputs, batch_size=sequences, verbose=0) > 0.5
    wrong = (found != (targets > 0.5))[:, counts]
    return wrong.mean(), wrong.sum(axis=(1, 2)).mean()
