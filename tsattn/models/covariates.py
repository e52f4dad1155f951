"""Layers for covariates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tsattn.layers.ops import Tensor


@keras.saving.register_keras_serializable(package="tsattn")
class CovariateScaling(keras.layers.Layer):
    """Standardize features by statistics of the training data; missing values become the mean.

    `(batch, time, features)`, NaN where missing, to the same shape without NaN, clipped to ten standard deviations.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})

    def build(self, inputs_shape: Any) -> None:
        shape = (inputs_shape[-1],)
        self.mean = self.add_weight(name="mean", shape=shape, initializer="zeros", trainable=False)
        self.spread = self.add_weight(name="spread", shape=shape, initializer="ones", trainable=False)

    def fit(self, mean: Sequence[float], spread: Sequence[float]) -> None:
        """Set the statistics of the training data, [features] each."""
        self.mean.assign(list(mean))
        self.spread.assign(list(spread))

    def call(self, inputs: Tensor) -> Tensor:
        known = ops.isfinite(inputs)
        scaled = (ops.where(known, inputs, ops.zeros_like(inputs)) - self.mean) / self.spread
        return ops.where(known, ops.clip(scaled, -10.0, 10.0), ops.zeros_like(inputs))

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape


@keras.saving.register_keras_serializable(package="tsattn")
class CovariateEffect(keras.layers.Layer):
    """Effect of the covariates of a step on its values: `(batch, time, features)` to `(batch, time, channels)`.

    One small network for all steps. The effect is subtracted from the history and added to the forecast, so that the
    architecture forecasts the remainder. The initial effect is 0.

    Args:
        channels: Number of values.
        units: Hidden units.
    """

    def __init__(self, channels: int, units: int = 32, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.units = units
        self._hidden = keras.layers.Dense(units, activation="relu", dtype=self.dtype_policy)
        self._bent = keras.layers.Dense(channels, use_bias=False, kernel_initializer="zeros", dtype=self.dtype_policy)
        self._straight = keras.layers.Dense(
            channels, use_bias=False, kernel_initializer="zeros", dtype=self.dtype_policy
        )

    def build(self, inputs_shape: Any) -> None:
        self._hidden.build(inputs_shape)
        self._bent.build((*inputs_shape[:-1], self.units))
        self._straight.build(inputs_shape)

    def call(self, inputs: Tensor) -> Tensor:
        return self._straight(inputs) + self._bent(self._hidden(inputs))

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return (*inputs_shape[:-1], self.channels)


@keras.saving.register_keras_serializable(package="tsattn")
class StaticEmbedding(keras.layers.Layer):
    """Embed the static covariates of a series in one vector, `(batch, units)`.

    The inputs are a list: scaled numbers `(batch, features)`, if any, and each category `(batch,)`, 1 to its size or 0
    if unknown. In training some categories are replaced by the unknown one, so that the network learns its embedding.

    Args:
        sizes: Number of values of each category.
        units: Size of the vector, and of the embedding of each category.
        unknown: Fraction of the categories that are replaced in training.
        seed: Random seed.
    """

    def __init__(
        self, sizes: Sequence[int], units: int, unknown: float = 0.1, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.sizes = tuple(sizes)
        self.units = units
        self.unknown = unknown
        self.seed = seed
        self._seed_generator = keras.random.SeedGenerator(seed)
        self._tables = [keras.layers.Embedding(size + 1, units, dtype=self.dtype_policy) for size in self.sizes]
        self._dense = keras.layers.Dense(units, dtype=self.dtype_policy)

    def build(self, inputs_shape: Any) -> None:
        numbers = inputs_shape[0][1] if len(inputs_shape) > len(self.sizes) else 0
        for table in self._tables:
            table.build((inputs_shape[0][0],))
        self._dense.build((inputs_shape[0][0], numbers + self.units * len(self.sizes)))

    def call(self, inputs: list[Tensor], training: bool | None = None) -> Tensor:
        count = len(self.sizes)
        categories = inputs[len(inputs) - count :]
        parts = [ops.cast(numbers, self.compute_dtype) for numbers in inputs[: len(inputs) - count]]
        for table, category in zip(self._tables, categories, strict=True):
            if training and self.unknown:
                keep = keras.random.uniform(ops.shape(category), seed=self._seed_generator) >= self.unknown
                category = category * ops.cast(keep, category.dtype)
            parts.append(table(category))
        return self._dense(ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0])

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return (inputs_shape[0][0], self.units)
