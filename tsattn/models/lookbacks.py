"""One network that reads a window several times, each time less far back, and forecasts the mean."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from tsattn.layers.masking import Tensor, sequence_mask
from tsattn.layers.windowing import move_back, take_steps


def lengths(context: int, lookbacks: int) -> list[int]:
    """Return the steps of each look-back: the whole context, its half, its quarter ..., none below one step."""
    return [max(context >> halvings, 1) for halvings in range(lookbacks)]


@keras.saving.register_keras_serializable(package="tsattn")
class FoldLookbacks(keras.layers.Layer):
    """Repeats each right-padded window with less and less of its history, folded into the batch.

    A history that is no longer than a look-back is left as it is.

    Args:
        steps: most steps that are kept, for each repetition.

    Call arguments:
        values: `(batch, context, channels)`, 0 where missing or padded.
        observed: the same shape.
        length: `(batch,)`, the number of valid steps.

    Output shape:
        The same three with a batch of `batch * len(steps)`, the look-backs of a window next to each other.
    """

    def __init__(self, steps: list[int], **kwargs: Any) -> None:
        # Raw values may overflow a half-precision compute dtype, so Keras must not cast them on the way in.
        super().__init__(**{"autocast": False, **kwargs})
        self.steps = list(steps)

    def call(self, values: Tensor, observed: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        context, channels = values.shape[1], values.shape[2]
        length = ops.cast(length, "int32")[:, None]
        kept = ops.minimum(length, ops.array([self.steps], dtype="int32"))
        first, flat = ops.reshape(length - kept, (-1,)), ops.reshape(kept, (-1,))
        index = ops.minimum(first[:, None] + ops.arange(context, dtype="int32")[None, :], context - 1)
        both = ops.repeat(ops.concatenate([values, observed], axis=-1), len(self.steps), axis=0)
        taken = take_steps(both, index)
        taken = ops.where(ops.expand_dims(sequence_mask(flat, context), -1), taken, ops.zeros_like(taken))
        return taken[:, :, :channels], taken[:, :, channels:], flat

    # Told, because JAX cannot infer shapes that fold an unknown batch.
    def compute_output_spec(self, values: Any, observed: Any, length: Any) -> Any:
        window = keras.KerasTensor((None, *values.shape[1:]), dtype=values.dtype)
        return window, keras.KerasTensor(window.shape, observed.dtype), keras.KerasTensor((None,), dtype="int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "steps": self.steps}


@keras.saving.register_keras_serializable(package="tsattn")
class MeanOfLookbacks(keras.layers.Layer):
    """The mean over the look-backs of each window: `(batch * lookbacks, ...)` to `(batch, ...)`.

    Args:
        lookbacks: how many there are.
    """

    def __init__(self, lookbacks: int, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.lookbacks = lookbacks

    def call(self, inputs: Tensor) -> Tensor:
        return ops.mean(ops.reshape(inputs, (-1, self.lookbacks, *inputs.shape[1:])), axis=1)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((None, *inputs.shape[1:]), dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "lookbacks": self.lookbacks}


@keras.saving.register_keras_serializable(package="tsattn")
class AlignKeys(keras.layers.Layer):
    """Moves the attention of each look-back to the keys that stand for the same steps of the whole window.

    The keys of a shorter look-back are the last valid ones of the whole window's; those before them get 0.

    Args:
        lookbacks: how many there are; the first is the longest.

    Call arguments:
        weights: `(batch * lookbacks, ..., keys)`.
        key_steps: `(batch * lookbacks, keys, 2)`, -1 for padding.

    Output shape:
        That of the weights.
    """

    def __init__(self, lookbacks: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lookbacks = lookbacks

    def call(self, weights: Tensor, key_steps: Tensor) -> Tensor:
        shape, keys = weights.shape[1:], weights.shape[-1]
        valid = ops.sum(ops.cast(key_steps[:, :, 1] >= 0, "int32"), axis=1)
        by_window = ops.reshape(valid, (-1, self.lookbacks))
        shift = ops.reshape(by_window[:, :1] - by_window, (-1,))
        # The size is told, because a reshape of unknown batch loses it.
        rows = ops.reshape(weights, (-1, math.prod(shape[:-1]), keys))
        moved = move_back(ops.swapaxes(rows, 1, 2), shift)
        return ops.reshape(ops.swapaxes(moved, 1, 2), (-1, *shape))

    def compute_output_spec(self, weights: Any, key_steps: Any) -> Any:
        return keras.KerasTensor(weights.shape, dtype=weights.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "lookbacks": self.lookbacks}
