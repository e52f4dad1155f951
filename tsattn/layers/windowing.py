"""Segments of time as tokens, aligned to the end of the history."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.layers.masking import Tensor, sequence_mask, zero_masked


@keras.saving.register_keras_serializable(package="tsattn")
class Patching(keras.layers.Layer):
    """Cuts a right-padded sequence into segments that end at its last valid step.

    Element `k` of segment `s` is the step `length - p * ceil(length / p) + s * p + k`, with `p` the patch length;
    steps before the history are 0. So only the first segment can be partial, the last one always ends at the
    forecast origin, and padding changes nothing. The segments are right-padded in their turn; the output carries
    their mask.

    The length of a row is one more than its last unmasked step; a masked step before it is a gap, read as 0.

    Args:
        patch_length: steps in a segment.

    Call arguments:
        inputs: `(batch, time, features)`.
        mask: boolean `(batch, time)`; True means keep. None keeps everything.

    Output shape:
        `(batch, ceil(time / patch_length), patch_length * features)`, element-major: the features of a segment's
        first step come first.

    Example:
        >>> segments = Patching(24)(history, mask=mask)

    Reference:
        Lin et al. 2023, SegRNN: Segment Recurrent Neural Network for Long-Term Time Series Forecasting.
    """

    def __init__(self, patch_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if patch_length < 1:
            raise ValueError(f"patch_length must be at least 1. Received: patch_length={patch_length}")
        self.patch_length = patch_length
        self.supports_masking = True

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        time = ops.shape(inputs)[1]
        segments = -(-time // self.patch_length)
        steps = segments * self.patch_length
        length = self._length(inputs, mask)
        first = length - self.patch_length * -(-length // self.patch_length)
        index = first[:, None] + ops.arange(steps, dtype="int32")[None, :]
        valid = ops.logical_and(index >= 0, index < length[:, None])
        inputs = zero_masked(inputs, mask)
        taken = take_steps(inputs, ops.clip(index, 0, time - 1))
        taken = zero_masked(taken, valid)
        return ops.reshape(taken, (-1, segments, self.patch_length * inputs.shape[-1]))

    def _length(self, inputs: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None:
            return ops.full((ops.shape(inputs)[0],), ops.shape(inputs)[1], dtype="int32")
        position = ops.arange(1, ops.shape(inputs)[1] + 1, dtype="int32")
        return ops.max(ops.where(ops.cast(mask, "bool"), position[None, :], 0), axis=1)

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor | None:
        if mask is None:
            return None
        # Segment s is valid if step s * p lies at or before the last valid one. Keras calls this on symbolic
        # tensors of unknown length too: hence a pooling, where a strided slice would do.
        keep = ops.cast(mask, "float32")
        before_end = ops.cast(ops.flip(ops.cumsum(ops.flip(keep, 1), 1), 1) > 0, "float32")
        padded = ops.expand_dims(ops.pad(before_end, [[0, 0], [0, self.patch_length - 1]]), -1)
        pooled = ops.max_pool(padded, self.patch_length, self.patch_length, "valid", "channels_last")
        return ops.squeeze(pooled, -1) > 0

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        batch, time, features = inputs_shape
        segments = None if time is None else -(-time // self.patch_length)
        return (batch, segments, self.patch_length * features)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "patch_length": self.patch_length}


@keras.saving.register_keras_serializable(package="tsattn")
class HistoryWindow(keras.layers.Layer):
    """Crops raw history of any length to its last valid steps and marks what is missing.

    Args:
        context: number of steps of the window.

    Call arguments:
        past: `(batch, time, channels)`, right-padded with any content; NaN and infinities are missing values.
        length: `(batch,)` integers, the number of valid steps; more than `time` counts as `time`.

    Output shape:
        A tuple: the values `(batch, context, channels)` with 0 where missing or padded, what was observed (the
        same shape, 0 or 1), the lengths `(batch,)` and the step of `past` that each row of the window begins at
        `(batch,)`, the last two int32.

    Example:
        >>> values, observed, length, first = HistoryWindow(168)(past, length)
    """

    def __init__(self, context: int, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.context = context

    def call(self, past: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        # One step more than there is, so that the gather below is defined even for a history of no step.
        past = ops.pad(ops.cast(past, "float32"), [[0, 0], [0, 1], [0, 0]])
        time = ops.shape(past)[1] - 1
        length = ops.clip(ops.cast(length, "int32"), 0, time)
        first = ops.maximum(length - self.context, 0)
        kept = length - first
        index = ops.minimum(first[:, None] + ops.arange(self.context, dtype="int32")[None, :], time)
        values = take_steps(past, index)
        valid = sequence_mask(kept, self.context)[:, :, None]
        seen = ops.logical_and(ops.isfinite(values), valid)
        return ops.where(seen, values, 0.0), ops.cast(seen, "float32"), kept, first

    def compute_output_spec(self, past: Any, length: Any) -> Any:
        window = (past.shape[0], self.context, past.shape[2])
        return (
            keras.KerasTensor(window, dtype="float32"),
            keras.KerasTensor(window, dtype="float32"),
            keras.KerasTensor((past.shape[0],), dtype="int32"),
            keras.KerasTensor((past.shape[0],), dtype="int32"),
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "context": self.context}


def take_steps(values: Tensor, index: Tensor) -> Tensor:
    """Take steps of `values` `(batch, time, features)` at `index` `(batch, steps)`, int32 in 0 to time - 1.

    The same as `take_along_axis`, in a third of the time on TensorFlow (1.5 ms against 4.3 ms for 336 x 720 x 2).
    """
    batch, time = ops.shape(values)[0], ops.shape(values)[1]
    rows = ops.arange(batch, dtype="int32")[:, None] * time + index
    return ops.take(ops.reshape(values, (-1, values.shape[2])), rows, axis=0)


def move_back(values: Tensor, shift: Tensor) -> Tensor:
    """Move the steps of `values` `(batch, time, features)` towards the end by `shift` `(batch,)`, int32, 0 or more.

    What is moved beyond the end is lost; before the first step there are zeros.
    """
    index = ops.arange(ops.shape(values)[1], dtype="int32")[None, :] - shift[:, None]
    return zero_masked(take_steps(values, ops.maximum(index, 0)), index >= 0)


def last_observed(values: Tensor, observed: Tensor) -> Tensor:
    """Return the last observed value of each channel, 0 where there is none: `(batch, time, channels)` to `(batch, 1,
    channels)`; `observed` of the same shape is 0 where a value is missing or padded.
    """
    step = ops.arange(1, ops.shape(values)[1] + 1, dtype="float32")[None, :, None] * ops.cast(observed, "float32")
    is_last = ops.logical_and(step == ops.max(step, axis=1, keepdims=True), step > 0)
    return ops.sum(ops.where(is_last, values, ops.zeros_like(values)), axis=1, keepdims=True)
