"""Segments of time as tokens, aligned to the end of the history."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.layers.gather import take_steps
from tsattn.layers.masking import Tensor, zero_masked


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
