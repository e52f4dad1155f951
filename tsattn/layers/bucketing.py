"""Batches of sequences of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tsattn.errors import ConfigError
from tsattn.layers.layer_utils import check_positive

Array = npt.NDArray[Any]


def bucket_batches(
    sequences: Sequence[npt.ArrayLike],
    targets: npt.ArrayLike | None = None,
    batch_size: int = 32,
    buckets: int | Sequence[int] = 16,
    shuffle: bool = True,
    seed: int | None = None,
) -> BucketBatches:
    """Return batches of sequences of similar length, for `keras.Model.fit`, `evaluate` and `predict`.

    Each batch is padded to the length of its bucket, not to the longest sequence of all. There are as many shapes as
    buckets, so that a graph is traced, or compiled, once per bucket; the last batch, if it is smaller, adds one.

    Args:
        sequences: Arrays `(time, ...)` that differ in length only.
        targets: `(sequences, ...)`, one per sequence.
        batch_size: Sequences per batch.
        buckets: Lengths of the buckets; or their number, for lengths between which there are equally many batches.
        shuffle: Whether the batches are composed again, in random order, in each epoch.
        seed: Seed of the shuffling.

    Returns:
        A `keras.utils.PyDataset` of `((inputs, mask),)`, with targets of `((inputs, mask), targets)`: the inputs
        `(batch, length, ...)`, 0 at the padding on the right, and the mask, boolean `(batch, length)`. With
        `shuffle=False`, its attribute `order` has the indices of the sequences in the order of the predictions.

    Raises:
        ConfigError: There are no sequences, their shapes or the number of targets differ, or one is longer than all
            buckets.

    Example:
        >>> inputs, mask = keras.Input((None, 12)), keras.Input((None,), dtype="bool")
        >>> model = keras.Model([inputs, mask], AttentionPooling(32)(inputs, mask=mask))
        >>> model.compile("adam", "mse")
        >>> model.fit(bucket_batches(sequences, targets))
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    check_positive(batch_size=batch_size)
    if len({(array.shape[1:], array.dtype) for array in arrays}) != 1 or arrays[0].ndim == 0:
        raise ConfigError(
            "sequences must be arrays (time, ...) that differ in length only. "
            f"Received: shapes {sorted({array.shape for array in arrays})[:5]}"
        )
    targets = None if targets is None else np.asarray(targets)
    if targets is not None and len(targets) != len(arrays):
        raise ConfigError(f"there must be a target per sequence. Received: {len(targets)} for {len(arrays)} sequences")
    return BucketBatches(arrays, targets, batch_size, _bucket_lengths(arrays, buckets, batch_size), shuffle, seed)


def _bucket_lengths(arrays: list[Array], buckets: int | Sequence[int], batch_size: int) -> Array:
    """Return the ascending lengths of the buckets."""
    lengths = np.sort([len(array) for array in arrays])
    if not isinstance(buckets, int):
        if max(buckets, default=0) < lengths[-1]:
            raise ConfigError(
                f"the longest bucket must be {lengths[-1]} or more, the length of the longest sequence. "
                f"Received: buckets={list(buckets)}"
            )
        return np.unique(buckets)
    check_positive(buckets=buckets)
    # At the ends of batches, so that few batches have sequences of two buckets.
    batches = np.array_split(np.arange(1, -(-len(lengths) // batch_size) + 1), buckets)
    return np.unique([lengths[min(part[-1] * batch_size, len(lengths)) - 1] for part in batches if len(part)])


class BucketBatches(keras.utils.PyDataset):
    """The batches of `bucket_batches`; see there."""

    def __init__(
        self,
        arrays: list[Array],
        targets: Array | None,
        batch_size: int,
        bucket_lengths: Array,
        shuffle: bool,
        seed: int | None,
    ) -> None:
        super().__init__()
        self.arrays = arrays
        self.targets = targets
        self.batch_size = batch_size
        self.bucket_lengths = bucket_lengths
        self.shuffle = shuffle
        self._rng = np.random.default_rng(seed)
        self._bucket = np.searchsorted(bucket_lengths, [len(array) for array in arrays])
        self.on_epoch_end()

    @property
    def order(self) -> Array:
        """Indices of the sequences in the order of the batches."""
        return np.concatenate(self._batches)

    def __len__(self) -> int:
        return -(-len(self.arrays) // self.batch_size)

    def on_epoch_end(self) -> None:
        """Compose the batches of the next epoch."""
        rows = np.arange(len(self.arrays))
        rows = self._rng.permutation(rows) if self.shuffle else rows
        rows = rows[np.argsort(self._bucket[rows], kind="stable")]
        self._batches = [rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size)]
        if self.shuffle:
            self._rng.shuffle(self._batches)
        # Keras infers from the first two batches which axes differ in size.
        other = [number for number in range(len(self)) if self._length(number) != self._length(0)]
        if other:
            self._batches.insert(1, self._batches.pop(other[-1]))

    def _length(self, number: int) -> int:
        return int(self.bucket_lengths[self._bucket[self._batches[number]].max()])

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        rows, length = self._batches[number], self._length(number)
        first = self.arrays[0]
        inputs = np.zeros((len(rows), length, *first.shape[1:]), first.dtype)
        for row, index in enumerate(rows):
            inputs[row, : len(self.arrays[index])] = self.arrays[index]
        mask = np.arange(length) < np.array([len(self.arrays[index]) for index in rows])[:, None]
        # A tuple of one, because Keras takes the second part of a tuple for targets.
        return ((inputs, mask),) if self.targets is None else ((inputs, mask), self.targets[rows])
