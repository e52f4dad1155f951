"""Small layers that carry shapes between the window contract and a network."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tsattn.layers.masking import Tensor, sequence_mask
from tsattn.layers.windowing import last_observed, take_steps


@keras.saving.register_keras_serializable(package="tsattn")
class SegmentMask(keras.layers.Layer):
    """Which segments of a right-padded window hold a valid step: lengths `(batch,)` to boolean `(batch, segments)`."""

    def __init__(self, segments: int, patch_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.segments = segments
        self.patch_length = patch_length

    def call(self, length: Tensor) -> Tensor:
        return sequence_mask(-(-length // self.patch_length), self.segments)

    def compute_output_spec(self, length: Any) -> Any:
        return keras.KerasTensor((length.shape[0], self.segments), dtype="bool")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "segments": self.segments, "patch_length": self.patch_length}


@keras.saving.register_keras_serializable(package="tsattn")
class SegmentSteps(keras.layers.Layer):
    """First and last step of the window that each segment stands for: `(batch,)` to int32 `(batch, segments, 2)`.

    Both are -1 for a padded segment.
    """

    def __init__(self, segments: int, patch_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.segments = segments
        self.patch_length = patch_length

    def call(self, length: Tensor) -> Tensor:
        length = ops.cast(length, "int32")[:, None]
        first = length - self.patch_length * -(-length // self.patch_length)
        first = first + self.patch_length * ops.arange(self.segments, dtype="int32")[None, :]
        last = first + self.patch_length - 1
        steps = ops.stack([ops.maximum(first, 0), last], axis=-1)
        return ops.where(ops.expand_dims(last < length, -1), steps, -1)

    def compute_output_spec(self, length: Any) -> Any:
        return keras.KerasTensor((length.shape[0], self.segments, 2), dtype="int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "segments": self.segments, "patch_length": self.patch_length}


@keras.saving.register_keras_serializable(package="tsattn")
class LastStep(keras.layers.Layer):
    """The last valid step of right-padded sequences: `(batch, time, features)` to `(batch, features)`.

    It is the first one where the mask `(batch, time)` leaves none.
    """

    def call(self, inputs: Tensor, mask: Tensor) -> Tensor:
        last = ops.maximum(ops.sum(ops.cast(mask, "int32"), axis=1) - 1, 0)
        return take_steps(inputs, last[:, None])[:, 0]

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        return None

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return (inputs_shape[0], inputs_shape[2])


@keras.saving.register_keras_serializable(package="tsattn")
class LastObserved(keras.layers.Layer):
    """The last observed value: `(batch, context, width)`, and what is observed of it, to `(batch, 1, width, 1)`.

    It is 0 where nothing is observed.
    """

    def call(self, values: Tensor, observed: Tensor) -> Tensor:
        return ops.expand_dims(last_observed(values, observed), -1)

    def compute_mask(self, values: Tensor, mask: Tensor | None = None) -> None:
        return None


@keras.saving.register_keras_serializable(package="tsattn")
class QuerySteps(keras.layers.Layer):
    """First and last step of the horizon that each query stands for: `(batch,)` to int32 `(batch, queries, 2)`."""

    def __init__(self, horizon: int, query_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.horizon = horizon
        self.query_length = query_length

    def call(self, length: Tensor) -> Tensor:
        first = list(range(0, self.horizon, self.query_length))
        steps = [[step, min(step + self.query_length, self.horizon) - 1] for step in first]
        return ops.broadcast_to(ops.array([steps], dtype="int32"), (ops.shape(length)[0], len(first), 2))

    def compute_output_spec(self, length: Any) -> Any:
        queries = -(-self.horizon // self.query_length)
        return keras.KerasTensor((length.shape[0], queries, 2), dtype="int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "horizon": self.horizon, "query_length": self.query_length}


@keras.saving.register_keras_serializable(package="tsattn")
class HorizonSteps(keras.layers.Layer):
    """Segments of the forecast to its steps: `(batch, segments, patch * size)` to `(batch, horizon, *item)`."""

    def __init__(self, horizon: int, item: tuple[int, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.horizon = horizon
        self.item = tuple(item)

    def call(self, inputs: Tensor) -> Tensor:
        size = 1
        for part in self.item:
            size *= part
        steps = inputs.shape[1] * inputs.shape[2] // size
        return ops.reshape(inputs, (-1, steps, *self.item))[:, : self.horizon]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "horizon": self.horizon, "item": self.item}


@keras.saving.register_keras_serializable(package="tsattn")
class HorizonSegments(keras.layers.Layer):
    """Steps to segments, padded with 0: `(batch, horizon, size)` to `(batch, segments, patch * size)`."""

    def __init__(self, patch_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch_length = patch_length

    def call(self, inputs: Tensor) -> Tensor:
        _, horizon, size = inputs.shape
        segments = -(-horizon // self.patch_length)
        padded = ops.pad(inputs, [[0, 0], [0, segments * self.patch_length - horizon], [0, 0]])
        return ops.reshape(padded, (-1, segments, self.patch_length * size))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "patch_length": self.patch_length}


@keras.saving.register_keras_serializable(package="tsattn")
class AddToLevel(keras.layers.Layer):
    """Adds to one level: `(..., levels)` and `(..., 1)` to `(..., levels)`."""

    def __init__(self, level: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.level = level

    def call(self, inputs: list[Tensor]) -> Tensor:
        values, added = inputs
        return values + added * ops.one_hot(self.level, values.shape[-1], dtype=values.dtype)

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "level": self.level}


@keras.saving.register_keras_serializable(package="tsattn")
class LevelDropout(keras.layers.Layer):
    """Drops one level of whole rows of `(rows, horizon, width, levels)` in training.

    What is added to that level afterwards must then do alone for a row: a network beside a copied history learns no
    more than what it adds to it (stochastic depth: Huang et al. 2016).

    Args:
        level: index of the level.
        rate: share of the rows.
    """

    def __init__(self, level: int, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.level = level
        self.rate = rate
        self._dropout = keras.layers.Dropout(rate, dtype=self.dtype_policy)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        kept = self._dropout(ops.ones_like(inputs[:, :1, :1, :1]), training=training)
        return inputs * ops.where(ops.arange(inputs.shape[-1]) == self.level, kept, ops.ones_like(kept))

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "level": self.level, "rate": self.rate}


@keras.saving.register_keras_serializable(package="tsattn")
class QuantileHead(keras.layers.Dense):
    """A dense layer to `(..., units)`, levels last, whose features are learned from the median's loss alone.

    The other levels are read from the same features, but send no gradient to them. A network that is trained for the
    tails as well forecasts a worse median (measured on the validation part of ETTh1, MAE at horizon 96 and 336: .526
    and .738 with their gradient, .522 and .723 without).

    Args:
        units: size of the output, a multiple of `levels`.
        levels: number of quantile levels.
        median: index of the level that the features are learned from.
    """

    def __init__(self, units: int, levels: int, median: int, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.levels = levels
        self.median = median

    def call(self, inputs: Tensor) -> Tensor:
        is_median = ops.arange(self.units) % self.levels == self.median
        return ops.where(is_median, super().call(inputs), super().call(ops.stop_gradient(inputs)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": self.levels, "median": self.median}


@keras.saving.register_keras_serializable(package="tsattn")
class FoldChannels(keras.layers.Layer):
    """Folds channels into the batch, so that one network forecasts each by itself.

    `(batch, time, channels)` to `(batch * channels, time, 1)`; `(batch,)` is repeated `channels` times a row.
    """

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels

    def call(self, inputs: Tensor) -> Tensor:
        if len(inputs.shape) == 1:
            return ops.repeat(inputs, self.channels, axis=0)
        return ops.reshape(ops.swapaxes(inputs, 1, 2), (-1, inputs.shape[1], 1))

    # Told, here and below, because JAX cannot infer shapes that fold an unknown batch.
    def compute_output_spec(self, inputs: Any) -> Any:
        shape = (None,) if len(inputs.shape) == 1 else (None, inputs.shape[1], 1)
        return keras.KerasTensor(shape, dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}


@keras.saving.register_keras_serializable(package="tsattn")
class UnfoldQuantiles(keras.layers.Layer):
    """`(batch * channels, horizon, 1, levels)` to `(batch, horizon, channels, levels)`."""

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels

    def call(self, inputs: Tensor) -> Tensor:
        _, horizon, _, levels = inputs.shape
        return ops.swapaxes(ops.reshape(inputs, (-1, self.channels, horizon, levels)), 1, 2)

    def compute_output_spec(self, inputs: Any) -> Any:
        _, horizon, _, levels = inputs.shape
        return keras.KerasTensor((None, horizon, self.channels, levels), dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}


@keras.saving.register_keras_serializable(package="tsattn")
class UnfoldAttention(keras.layers.Layer):
    """`(batch * channels, queries, keys)`, or with heads before the queries, to `(batch, channels, heads, ...)`."""

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels

    def call(self, inputs: Tensor) -> Tensor:
        return ops.reshape(inputs, (-1, self.channels, *self._heads(inputs)))

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((None, self.channels, *self._heads(inputs)), dtype=inputs.dtype)

    def _heads(self, inputs: Any) -> tuple[int, ...]:
        return (1,) * (len(inputs.shape) == 3) + tuple(inputs.shape[1:])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}


@keras.saving.register_keras_serializable(package="tsattn")
class ChannelEmbedding(keras.layers.Layer):
    """One learned vector a channel, for each of the batch: `(batch, time, channels)` to `(batch * channels, size)`."""

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

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}
