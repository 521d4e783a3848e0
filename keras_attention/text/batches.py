"""Batches of sequences of about one length."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_attention.text.vocabulary import END_ID, PAD_ID, START_ID


class Batches:
    """Pairs of token sequences as batches for `fit`, padded little.

    Sorted by length within windows of many batches, so that a batch holds sequences of about one
    length; which sequences meet, and the order of the batches, is shuffled anew in every epoch.

    Args:
        sources: list of int arrays.
        targets: list of int arrays, without start and end.
        batch_size: sequences in a batch; the last of an epoch may have fewer.
        seed: integer; epoch n of two runs with one seed is the same. None: never shuffled.
        parts: epochs in one pass over all pairs; with 1 an epoch is a pass.

    Attributes:
        epoch: number of the epoch that the next iteration gives.

    Raises:
        ValueError: no pairs, not as many targets as sources, a `batch_size` below 1, or more
            `parts` than batches.
    """

    def __init__(
        self,
        sources: Sequence[Any],
        targets: Sequence[Any],
        batch_size: int,
        seed: int | None = None,
        parts: int = 1,
    ) -> None:
        if len(sources) != len(targets) or not sources:
            raise ValueError(
                "Expected as many targets as sources, and one at least. "
                f"Received: {len(targets)} and {len(sources)}"
            )
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"Expected batch_size >= 1. Received: batch_size={batch_size}")
        total = -(-len(sources) // batch_size)
        if not 1 <= parts <= total:
            raise ValueError(f"Expected 1 to {total} parts, the batches. Received: parts={parts}")
        self.sources, self.targets = sources, targets
        self.batch_size = batch_size
        self.seed = seed
        self.parts = parts
        self.lengths = np.array([len(s) for s in sources])
        self.epoch = 0

    def __len__(self) -> int:
        """Batches in a pass over all pairs."""
        return -(-len(self.sources) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """The batches of the next epoch: `({"source", "target"}, labels)` of int32 arrays."""
        # Counted when it begins: `fit` looks at a first batch and comes back, and a dataset that
        # is read ahead ends at no certain time.
        epoch, self.epoch = self.epoch, self.epoch + 1
        yield from self._of(epoch)

    def dataset(self, epoch: int | None = None) -> Any:
        """A `tf.data.Dataset` of one epoch, made ahead of use.

        Args:
            epoch: its number; None for the next each time the dataset is iterated. Where `parts`
                do not divide a pass, `fit` needs to be called for each epoch by its number: at the
                end of a dataset of unknown size it runs a step too far, without data.
        """
        ids = tf.TensorSpec((None, None), tf.int32)
        signature = ({"source": ids, "target": ids}, ids)
        batches = (lambda: iter(self)) if epoch is None else (lambda: self._of(epoch))
        dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
        if epoch is not None or len(self) % self.parts == 0:  # else epochs differ by a batch
            first, end = self._part(epoch or 0)
            dataset = dataset.apply(tf.data.experimental.assert_cardinality(end - first))
        return dataset.prefetch(4)

    def _of(self, epoch: int) -> Iterator[tuple[Any, Any]]:
        """The batches of an epoch."""
        first, end = self._part(epoch)
        for rows in self._rows(epoch // self.parts)[first:end]:
            yield self._batch(rows)

    def _part(self, epoch: int) -> tuple[int, int]:
        """The first batch of its pass that an epoch has, and the first that it has no more."""
        part = epoch % self.parts
        return len(self) * part // self.parts, len(self) * (part + 1) // self.parts

    def _rows(self, number: int, window: int = 100) -> list[np.ndarray[Any, Any]]:
        """The batches of one pass, each as the numbers of its pairs."""
        if self.seed is None:
            order = np.argsort(self.lengths, kind="stable")
            return np.split(order, range(self.batch_size, len(order), self.batch_size))
        random = np.random.default_rng((self.seed, number))
        order = random.permutation(len(self.sources))
        size = window * self.batch_size
        for start in range(0, len(order), size):
            part = order[start : start + size]
            order[start : start + size] = part[np.argsort(self.lengths[part], kind="stable")]
        batches = np.split(order, range(self.batch_size, len(order), self.batch_size))
        return [batches[i] for i in random.permutation(len(batches))]

    def _batch(self, rows: Iterable[int]) -> tuple[dict[str, Any], Any]:
        source = pad([self.sources[i] for i in rows])
        labels = pad([np.append(self.targets[i], END_ID) for i in rows])
        target = np.pad(labels[:, :-1], [(0, 0), (1, 0)], constant_values=START_ID)
        # The end token of a shorter target is not among what the decoder has seen.
        target[target == END_ID] = PAD_ID
        return {"source": source, "target": target}, labels


def pad(rows: Sequence[Any]) -> np.ndarray[Any, Any]:
    """A list of int arrays as one int32 array `(B, T)`, 0 after the last token; T >= 1."""
    width = max(1, *(len(row) for row in rows)) if rows else 1
    padded = np.full((len(rows), width), PAD_ID, dtype=np.int32)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded
