"""Folding into the batch: channels, and context scales, several lengths at which one network reads each window."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from tsattn.layers.ops import Tensor, batched_take, sequence_mask, shift_right


def context_lengths(context: int, scales: int) -> list[int]:
    """Return the context lengths in steps: the whole context, its half, its quarter, ..., at least one step."""
    return [max(context >> halvings, 1) for halvings in range(scales)]


def _rename_argument(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a config of version 0.1, in which the only argument of a layer has another name."""
    return {key if key in ("name", "trainable", "dtype") else name: value for key, value in config.items()}


# Registered by the names of version 0.1, so that its files load. A class with weights or random state cannot be
# renamed: Keras stores its weights under the name of the class.
@keras.saving.register_keras_serializable(package="tsattn", name="FoldLookbacks")
class FoldContextScales(keras.layers.Layer):
    """Repeat right-padded windows with their last steps only, folded into the batch.

    A history that is shorter than a context length is unchanged.

    Args:
        steps: Maximum number of steps of each repetition.

    Call arguments:
        values: `(batch, context, channels)`, 0 where missing or padded.
        observed: `(batch, context, channels)`.
        length: `(batch,)`, the number of valid steps.

    Output shape:
        The same three with a batch of `batch * len(steps)`; the repetitions of a window are adjacent.
    """

    def __init__(self, steps: list[int], **kwargs: Any) -> None:
        # Raw values may overflow a half-precision compute dtype, so Keras must not cast the inputs.
        super().__init__(**{"autocast": False, **kwargs})
        self.steps = list(steps)

    def call(self, values: Tensor, observed: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        context, channels = values.shape[1], values.shape[2]
        length = ops.cast(length, "int32")[:, None]
        counts = ops.minimum(length, ops.array([self.steps], dtype="int32"))
        first, flat = ops.reshape(length - counts, (-1,)), ops.reshape(counts, (-1,))
        index = ops.minimum(first[:, None] + ops.arange(context, dtype="int32")[None, :], context - 1)
        both = ops.repeat(ops.concatenate([values, observed], axis=-1), len(self.steps), axis=0)
        taken = batched_take(both, index)
        taken = ops.where(ops.expand_dims(sequence_mask(flat, context), -1), taken, ops.zeros_like(taken))
        return taken[:, :, :channels], taken[:, :, channels:], flat

    # Explicit, here and below: JAX cannot infer shapes that fold an unknown batch size.
    def compute_output_spec(self, values: Any, observed: Any, length: Any) -> Any:
        window = keras.KerasTensor((None, *values.shape[1:]), dtype=values.dtype)
        return window, keras.KerasTensor(window.shape, observed.dtype), keras.KerasTensor((None,), dtype="int32")


@keras.saving.register_keras_serializable(package="tsattn", name="MeanOfLookbacks")
class AverageContextScales(keras.layers.Layer):
    """Average over the context scales of each window: `(batch * scales, ...)` to `(batch, ...)`.

    Args:
        scales: Number of context scales.
    """

    def __init__(self, scales: int, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.scales = scales

    def call(self, inputs: Tensor) -> Tensor:
        return ops.mean(ops.reshape(inputs, (-1, self.scales, *inputs.shape[1:])), axis=1)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((None, *inputs.shape[1:]), dtype=inputs.dtype)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return super().from_config(_rename_argument(config, "scales"))


@keras.saving.register_keras_serializable(package="tsattn")
class AlignKeys(keras.layers.Layer):
    """Align the attention of each context scale with the keys of the whole context that cover the same steps.

    The keys of a shorter context correspond to the last valid keys of the whole context; the weights before them are 0.

    Args:
        scales: Number of context scales, the longest first.

    Call arguments:
        weights: `(batch * scales, ..., keys)`.
        key_steps: `(batch * scales, keys, 2)`, -1 for padding.

    Output shape:
        The shape of `weights`.
    """

    def __init__(self, scales: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scales = scales

    def call(self, weights: Tensor, key_steps: Tensor) -> Tensor:
        shape, keys = weights.shape[1:], weights.shape[-1]
        valid = ops.sum(ops.cast(key_steps[:, :, 1] >= 0, "int32"), axis=1)
        by_window = ops.reshape(valid, (-1, self.scales))
        shift = ops.reshape(by_window[:, :1] - by_window, (-1,))
        # The size is explicit, because a reshape of unknown batch size loses it.
        rows = ops.reshape(weights, (-1, math.prod(shape[:-1]), keys))
        moved = shift_right(ops.swapaxes(rows, 1, 2), shift)
        return ops.reshape(ops.swapaxes(moved, 1, 2), (-1, *shape))

    def compute_output_spec(self, weights: Any, key_steps: Any) -> Any:
        return keras.KerasTensor(weights.shape, dtype=weights.dtype)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return super().from_config(_rename_argument(config, "scales"))


@keras.saving.register_keras_serializable(package="tsattn")
class FoldChannels(keras.layers.Layer):
    """Fold channels into the batch, so that one network forecasts each of them.

    `(batch, time, channels)` to `(batch * channels, time, 1)`; `(batch,)` to `(batch * channels,)`.
    """

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels

    def call(self, inputs: Tensor) -> Tensor:
        if len(inputs.shape) == 1:
            return ops.repeat(inputs, self.channels, axis=0)
        return ops.reshape(ops.swapaxes(inputs, 1, 2), (-1, inputs.shape[1], 1))

    # Explicit, here and below: JAX cannot infer shapes that fold an unknown batch size.
    def compute_output_spec(self, inputs: Any) -> Any:
        shape = (None,) if len(inputs.shape) == 1 else (None, inputs.shape[1], 1)
        return keras.KerasTensor(shape, dtype=inputs.dtype)


@keras.saving.register_keras_serializable(package="tsattn")
class UnfoldQuantiles(keras.layers.Layer):
    """Unfold channels: `(batch * channels, horizon, 1, levels)` to `(batch, horizon, channels, levels)`."""

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels

    def call(self, inputs: Tensor) -> Tensor:
        _, horizon, _, levels = inputs.shape
        return ops.swapaxes(ops.reshape(inputs, (-1, self.channels, horizon, levels)), 1, 2)

    def compute_output_spec(self, inputs: Any) -> Any:
        _, horizon, _, levels = inputs.shape
        return keras.KerasTensor((None, horizon, self.channels, levels), dtype=inputs.dtype)


@keras.saving.register_keras_serializable(package="tsattn")
class UnfoldAttention(keras.layers.Layer):
    """Unfold channels: `(batch * channels, [heads,] queries, keys)` to `(batch, channels, heads, queries, keys)`."""

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels

    def call(self, inputs: Tensor) -> Tensor:
        return ops.reshape(inputs, (-1, self.channels, *self._heads(inputs)))

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((None, self.channels, *self._heads(inputs)), dtype=inputs.dtype)

    def _heads(self, inputs: Any) -> tuple[int, ...]:
        return (1,) * (len(inputs.shape) == 3) + tuple(inputs.shape[1:])


@keras.saving.register_keras_serializable(package="tsattn")
class ChannelEmbedding(keras.layers.Layer):
    """One learned vector per channel: inputs `(batch, time, channels)` to `(batch * channels, size)`."""

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def build(self, inputs_shape: Any) -> None:
        self.embedding = self.add_weight(
            name="embedding",
            shape=(inputs_shape[2], self.size),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
        )

    def call(self, inputs: Tensor) -> Tensor:
        table = ops.cast(self.embedding, self.compute_dtype)[None]
        table = ops.broadcast_to(table, (ops.shape(inputs)[0], inputs.shape[2], self.size))
        return ops.reshape(table, (-1, self.size))

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((None, self.size), dtype=self.compute_dtype)
