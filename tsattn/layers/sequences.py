"""Sequences of different lengths: windows and patches aligned to their end, positions, batches of similar length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.layer_utils import (
    check_positive,
    check_sequence,
    constructor_config,
    set_weight_options,
    weight_options,
)
from tsattn.layers.ops import Tensor, batched_take, max_or_zero, resolve_mask, sequence_mask, zero_masked

MAX_WAVELENGTH = 10_000.0
"""Maximum wavelength of the sinusoids, divided by 2 pi."""

Array = npt.NDArray[Any]


@keras.saving.register_keras_serializable(package="tsattn")
class Patching(keras.layers.Layer):
    """Splits a right-padded sequence into patches aligned to its last valid step.

    Element `k` of patch `s` is the step `length - p * ceil(length / p) + s * p + k`, with the patch length `p`; steps
    before the history are 0. Only the first patch can be partial, the last one ends at the forecast origin, and
    padding has no effect. The patches are right-padded as well; the output carries their mask.

    The length of a row is one more than its last unmasked step; a masked step before it is a gap, read as 0.

    Args:
        patch_length: Number of steps per patch.

    Call arguments:
        inputs: `(batch, time, features)`.
        mask: Boolean `(batch, time)`; True means keep. None keeps everything.

    Output shape:
        `(batch, ceil(time / patch_length), patch_length * features)`: all features of a step, then those of the next.

    Example:
        >>> patches = Patching(24)(history, mask=mask)

    Reference:
        Lin et al. 2023, SegRNN: Segment Recurrent Neural Network for Long-Term Time Series Forecasting.
    """

    def __init__(self, patch_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_positive(patch_length=patch_length)
        self.patch_length = patch_length
        self.supports_masking = True

    def build(self, inputs_shape: Any) -> None:
        check_sequence("the input of a patching", inputs_shape)

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        time = ops.shape(inputs)[1]
        patches = -(-time // self.patch_length)
        steps = patches * self.patch_length
        length = self._length(inputs, mask)
        first = length - self.patch_length * -(-length // self.patch_length)
        index = first[:, None] + ops.arange(steps, dtype="int32")[None, :]
        valid = ops.logical_and(index >= 0, index < length[:, None])
        inputs = zero_masked(inputs, mask)
        elements = zero_masked(batched_take(inputs, ops.clip(index, 0, time - 1)), valid)
        return ops.reshape(elements, (ops.shape(inputs)[0], patches, self.patch_length * inputs.shape[-1]))

    def _length(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None:
            return ops.full((ops.shape(inputs)[0],), ops.shape(inputs)[1], dtype="int32")
        position = ops.arange(1, ops.shape(inputs)[1] + 1, dtype="int32")
        return max_or_zero(ops.where(ops.cast(mask, "bool"), position[None, :], 0), 1)

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor | None:
        if mask is None:
            return None
        # Patch s is valid if step s * p is not after the last valid one. Pooling, not a strided slice, because Keras
        # also calls this with symbolic tensors of unknown length.
        keep = ops.cast(mask, "float32")
        before_end = ops.cast(ops.flip(ops.cumsum(ops.flip(keep, 1), 1), 1) > 0, "float32")
        padded = ops.expand_dims(ops.pad(before_end, [[0, 0], [0, self.patch_length - 1]]), -1)
        pooled = ops.max_pool(padded, self.patch_length, self.patch_length, "valid", "channels_last")
        return ops.squeeze(pooled, -1) > 0

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        batch, time, features = inputs_shape
        patches = None if time is None else -(-time // self.patch_length)
        return (batch, patches, self.patch_length * features)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, Patching)}


@keras.saving.register_keras_serializable(package="tsattn")
class HistoryWindow(keras.layers.Layer):
    """Crops raw history of any length to its last valid steps and marks missing values.

    The layer takes lengths instead of a mask: masks that Keras attaches to the history are not used.

    Args:
        context: Number of steps of the window.

    Call arguments:
        past: `(batch, time, channels)`, right-padded with any content; NaN and infinities are missing values.
        length: `(batch,)` integers, the number of valid steps; clipped to `time`.

    Output shape:
        A tuple: the values `(batch, context, channels)`, 0 where missing or padded; an indicator of observed values of
        the same shape, 0 or 1; the lengths `(batch,)`; and the first step of each window in `past`, `(batch,)`. The
        last two are int32.

    Example:
        >>> values, observed, length, first = HistoryWindow(168)(past, length)
    """

    def __init__(self, context: int, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        check_positive(context=context)
        self.context = context
        self.supports_masking = True

    def build(self, past_shape: Any, length_shape: Any = None) -> None:
        check_sequence("past", past_shape)
        if length_shape is not None and len(length_shape) != 1:
            raise ConfigError(f"length must have the shape (batch,). Received: shape {tuple(length_shape)}")

    def call(self, past: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        # One more step, so that the gather below is defined for an empty history.
        past = ops.pad(ops.cast(past, "float32"), [[0, 0], [0, 1], [0, 0]])
        time = ops.shape(past)[1] - 1
        length = ops.clip(ops.cast(length, "int32"), 0, time)
        first = ops.maximum(length - self.context, 0)
        window_length = length - first
        index = ops.minimum(first[:, None] + ops.arange(self.context, dtype="int32")[None, :], time)
        values = batched_take(past, index)
        valid = sequence_mask(window_length, self.context)[:, :, None]
        observed = ops.logical_and(ops.isfinite(values), valid)
        return ops.where(observed, values, 0.0), ops.cast(observed, "float32"), window_length, first

    def compute_mask(self, *args: Any, **kwargs: Any) -> None:
        return None

    def compute_output_shape(self, past_shape: Any, length_shape: Any) -> Any:
        window = (past_shape[0], self.context, past_shape[2])
        return window, window, (past_shape[0],), (past_shape[0],)

    def compute_output_spec(self, past: Any, length: Any) -> Any:
        shapes = self.compute_output_shape(past.shape, length.shape)
        dtypes = ("float32", "float32", "int32", "int32")
        return tuple(keras.KerasTensor(shape, dtype=dtype) for shape, dtype in zip(shapes, dtypes, strict=True))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, HistoryWindow)}


@keras.saving.register_keras_serializable(package="tsattn")
class PositionalEncoding(keras.layers.Layer):
    """Adds an encoding of the position of each step, counted from the forecast origin.

    The last valid step of a history has position 0, the previous one 1, and so on: positions depend neither on the
    length of the history nor on padding. Steps after the origin have positions -1, -2, ... Outputs of masked steps are
    0, whatever their content.

    Args:
        kind: `"sinusoidal"`, sines and cosines of geometrically decreasing frequencies for any number of steps; or
            `"learned"`, a learned vector per position.
        steps: Number of learned vectors; more distant steps use the last one. Only with `"learned"`.
        ahead: Whether the steps follow the origin, such as the queries of a decoder, and are counted forwards.
        embeddings_initializer: Initializer of the learned vectors; by default normal with standard deviation 0.02.
        embeddings_regularizer: Regularizer of the learned vectors.
        embeddings_constraint: Constraint of the learned vectors.

    Call arguments:
        inputs: `(batch, time, features)`.
        mask: Boolean `(batch, time)`; True means keep. Padding is on the right; a masked step before the last valid
            one is a gap and counts as a step.
        start_index: Index of the first step, for queries that are passed a few at a time; only with `ahead`.

    Output shape:
        Same shape as the input.

    Example:
        >>> tokens = PositionalEncoding()(tokens, mask=mask)
        >>> queries = PositionalEncoding("learned", steps=24, ahead=True)(queries)

    Reference:
        Vaswani et al. 2017, Attention Is All You Need.
    """

    def __init__(
        self,
        kind: Literal["sinusoidal", "learned"] = "sinusoidal",
        steps: int | None = None,
        ahead: bool = False,
        embeddings_initializer: Any = None,
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if kind not in ("sinusoidal", "learned"):
            raise ConfigError(f"kind must be sinusoidal or learned. Received: kind={kind!r}")
        if (kind == "learned") != (steps is not None):
            raise ConfigError(f"steps is required by kind=learned, and only by it. Received: steps={steps}")
        check_positive(steps=steps)
        self.kind = kind
        self.steps = steps
        self.ahead = ahead
        set_weight_options(
            self,
            embeddings_initializer=embeddings_initializer or keras.initializers.RandomNormal(stddev=0.02),
            embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint,
        )
        self.supports_masking = True

    def build(self, inputs_shape: Any) -> None:
        check_sequence("the input of a positional encoding", inputs_shape)
        if self.steps is not None:
            self.table = self.add_weight(
                name="table", shape=(self.steps, inputs_shape[-1]), **weight_options(self, "embeddings")
            )

    def call(self, inputs: Tensor, mask: Tensor | None = None, start_index: Any = 0) -> Tensor:
        if not self.ahead and isinstance(start_index, int) and start_index:
            raise ConfigError(
                "start_index requires ahead=True: other steps are counted from the last one. "
                f"Received: start_index={start_index}"
            )
        distance = self._distance(inputs, mask)
        if self.ahead:
            distance = distance + start_index
        encoding = self._sinusoids(distance, inputs.shape[-1]) if self.steps is None else self._look_up(distance)
        return zero_masked(zero_masked(inputs, mask) + ops.cast(encoding, inputs.dtype), mask)

    def _distance(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        """Return the distance to the first step on the same side of the origin, int32 `(batch, time)`."""
        keep = resolve_mask(mask, inputs)
        step = ops.arange(ops.shape(inputs)[1], dtype="int32")[None, :]
        if self.ahead:
            return ops.where(keep, step, 0)
        last = max_or_zero(ops.where(keep, step, 0), 1, keepdims=True)
        return ops.maximum(last - step, 0)

    def _sinusoids(self, distance: Tensor, size: int) -> Tensor:
        # In float32: half precision represents integers exactly up to 2,048 only.
        position = ops.cast(-1 - distance if self.ahead else distance, "float32")
        exponents = [2 * (index // 2) / size for index in range(size)]
        frequency = ops.array([math.exp(-math.log(MAX_WAVELENGTH) * each) for each in exponents], dtype="float32")
        angle = ops.expand_dims(position, -1) * frequency
        return ops.where(ops.arange(size) % 2 == 0, ops.sin(angle), ops.cos(angle))

    def _look_up(self, distance: Tensor) -> Tensor:
        assert self.steps is not None
        return ops.take(ops.cast(self.table, self.compute_dtype), ops.minimum(distance, self.steps - 1), axis=0)

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, PositionalEncoding)}


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
