"""Raw history to the window that a model takes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.layers.gather import take_steps
from tsattn.layers.masking import Tensor, sequence_mask


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
