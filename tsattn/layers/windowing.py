"""Windows of raw history, and patches aligned to its end."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.layer_utils import check_positive, check_sequence, constructor_config
from tsattn.layers.ops import Tensor, batched_take, max_or_zero, sequence_mask, zero_masked


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
