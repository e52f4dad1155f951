"""Branches next to a network, in scaled space: the effect of covariates, a linear path and mean reversion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tsattn.layers.ops import Tensor, sequence_mask, shift_right
from tsattn.models.options import NetworkOptions
from tsattn.timeseries.windows import WindowSpec


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


class ResidualBranches:
    """Mean reversion and linear regression, as far as the options include them.

    Args:
        options: Options of the network.
        spec: The window.
    """

    def __init__(self, options: NetworkOptions, spec: WindowSpec) -> None:
        self.mean_reversion = (
            LevelReversion(spec.horizon, spec.season, name="level_reversion") if options.mean_reversion else None
        )
        self.linear = LinearPath(spec.horizon, name="linear_path") if options.linear_residual else None

    def __call__(
        self,
        values: Tensor,
        observed: Tensor,
        length: Tensor,
        center: Tensor,
        scale: Tensor,
        in_range: Tensor | None = None,
    ) -> list[Tensor]:
        """Return the terms to add, each `(batch, horizon, channels)`."""
        terms = [] if self.linear is None else [self.linear(values, length)]
        if self.mean_reversion is not None:
            terms.append(self.mean_reversion(values, observed, length, center, scale, in_range))
        return terms


LINEAR_GAIN = 3.0
"""Factor of the learning rate for the weights of `LinearPath`."""


@keras.saving.register_keras_serializable(package="tsattn")
class LinearPath(keras.layers.Layer):
    """Linear regression of each step of the horizon on the scaled history of its channel (NLinear).

    With a short history a regression captures most of the signal, from few data that a network would overfit. The
    weights belong to distances from the end of the history. Missing steps, and steps before a short history, count
    as 0, the value that windows are centered on. The initial output is 0.

    Args:
        horizon: Steps to forecast.

    Call arguments:
        values: `(batch, context, channels)`, scaled, right-padded, 0 where missing.
        length: `(batch,)`, the number of valid steps.

    Output shape:
        `(batch, horizon, channels)`, scaled.

    Reference:
        Zeng, Chen, Zhang and Xu 2023, Are Transformers Effective for Time Series Forecasting?
    """

    def __init__(self, horizon: int, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.horizon = horizon

    def build(self, values_shape: Any, *other_shapes: Any) -> None:
        _, context, channels = values_shape
        self.kernel = self.add_weight(
            name="kernel", shape=(channels, context, self.horizon), initializer="zeros", dtype="float32"
        )

    def call(self, values: Tensor, length: Tensor) -> Tensor:
        last = shift_right(ops.cast(values, "float32"), values.shape[1] - ops.cast(length, "int32"))
        return ops.einsum("btc,cth->bhc", last, ops.convert_to_tensor(self.kernel) * LINEAR_GAIN)

    def compute_output_spec(self, values: Any, *args: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor((values.shape[0], self.horizon, values.shape[2]), dtype="float32")


REVERSION_DROPOUT = 0.5
"""Dropout rate of the levels in training, which regularizes the reversion weights."""

MAX_DISTANCE = 4.0
"""Distance from the typical level, in standard deviations, from which on a level does not revert."""

REVERSION_GAIN = 10.0
"""Factor of the learning rate for the weights of `LevelReversion`."""


@keras.saving.register_keras_serializable(package="tsattn")
class LevelReversion(keras.layers.Layer):
    """Mean reversion: move each step of the horizon towards the mean of the history and a typical level.

    A window that is scaled by its own statistics does not show whether its level is high. Each step of the horizon has
    two learned weights, at least 0: one towards the typical level of the training data, and one towards the mean of
    the history, which shows how far the typical level has moved since the training.

    A few months of data hold few swings of a level, so that unregularized weights are too large. Dropout of the levels
    in training acts as a ridge penalty with their variance, and halves the weights.

    The effect fades with the distance from the typical level and ends at four standard deviations: such a level
    belongs to another series.

    Args:
        horizon: Steps to forecast.
        season: Steps at the end of the history whose mean is the recent level.

    Call arguments:
        values: `(batch, context, channels)`, scaled.
        observed: `(batch, context, channels)`, 0 where missing.
        length: `(batch,)`, the number of valid steps.
        center: `(batch, 1, channels)`, center of the scaling.
        scale: `(batch, 1, channels)`, divisor of the scaling.
        in_range: `(batch, 1, channels)`, 0 where a window is outside the range of the training data and its level does
            not revert to theirs; None if all windows are within.

    Output shape:
        `(batch, horizon, channels)`, scaled.

    Reference:
        Wager, Wang and Liang 2013, Dropout Training as Adaptive Regularization.
    """

    def __init__(self, horizon: int, season: int, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.horizon = horizon
        self.season = season
        self._dropout = keras.layers.Dropout(REVERSION_DROPOUT, dtype="float32")
        self._history_dropout = keras.layers.Dropout(REVERSION_DROPOUT, dtype="float32")

    def build(self, values_shape: Any, *other_shapes: Any) -> None:
        channels = values_shape[2]
        self.typical_weight = self._add_reversion_weight("typical_weight", channels)
        self.history_weight = self._add_reversion_weight("history_weight", channels)
        self.level = self._add_statistic("level", channels)
        self.spread = self._add_statistic("spread", channels)

    def _add_reversion_weight(self, name: str, channels: int) -> Any:
        return self.add_weight(
            name=name,
            shape=(self.horizon, channels),
            initializer="zeros",
            constraint=keras.constraints.NonNeg(),
            dtype="float32",
        )

    def _add_statistic(self, name: str, channels: int) -> Any:
        return self.add_weight(
            name=name, shape=(channels,), initializer="zeros", trainable=False, dtype="float32", autocast=False
        )

    def fit(self, level: Sequence[float], spread: Sequence[float]) -> None:
        """Set the typical level of the training data and its spread, [channels] each; a spread of 0 disables it."""
        self.level.assign(list(level))
        self.spread.assign(list(spread))

    def call(
        self,
        values: Tensor,
        observed: Tensor,
        length: Tensor,
        center: Tensor,
        scale: Tensor,
        in_range: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        values, observed = ops.cast(values, "float32"), ops.cast(observed, "float32")
        length, context = ops.cast(length, "int32"), values.shape[1]
        # The JAX backend does not accept a variable inside `where`.
        level, spread = ops.convert_to_tensor(self.level), ops.convert_to_tensor(self.spread)
        valid = sequence_mask(length, context)
        history_mean, _ = _observed_mean(values, observed, valid)
        recent_mean, count = _observed_mean(values, observed, valid & ~sequence_mask(length - self.season, context))
        distance = level - (center + scale * recent_mean)
        reach = MAX_DISTANCE * spread
        relative = ops.abs(distance) / ops.where(reach > 0, reach, ops.ones_like(reach))
        fading = 1.0 - ops.where(reach > 0, ops.minimum(relative, 1.0), ops.ones_like(relative)) ** 4
        zeros = ops.zeros_like(distance)
        reverts = count > 0 if in_range is None else ops.logical_and(count > 0, in_range > 0)
        divisor = ops.where(reverts, scale, 1.0)
        to_typical = self._dropout(ops.where(reverts, fading * distance / divisor, zeros), training=training)
        to_history = self._history_dropout(ops.where(count > 0, history_mean - recent_mean, zeros), training=training)
        typical, history = ops.convert_to_tensor(self.typical_weight), ops.convert_to_tensor(self.history_weight)
        return REVERSION_GAIN * (typical * to_typical + history * to_history)

    def compute_output_spec(self, values: Any, *args: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor((values.shape[0], self.horizon, values.shape[2]), dtype="float32")


def _observed_mean(values: Tensor, observed: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the number of the observed values at some steps, both `(batch, 1, channels)`.

    Args:
        values: `(batch, context, channels)`.
        observed: `(batch, context, channels)`, 0 where missing.
        steps: Boolean `(batch, context)`, the steps that count.
    """
    seen = observed * ops.cast(ops.expand_dims(steps, -1), "float32")
    count = ops.sum(seen, axis=1, keepdims=True)
    return ops.sum(values * seen, axis=1, keepdims=True) / ops.maximum(count, 1.0), count
