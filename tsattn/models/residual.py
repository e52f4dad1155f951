"""What is added to the forecast of a network, in scaled space, and is simple enough to be learned from few data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tsattn.layers.masking import Tensor, sequence_mask
from tsattn.layers.windowing import move_back
from tsattn.models.options import NetworkOptions
from tsattn.timeseries.window_spec import WindowSpec


class Beside:
    """The way back to a typical level, and a linear regression on the history, as far as the options have them.

    Args:
        options: those of the network.
        spec: the window.
    """

    def __init__(self, options: NetworkOptions, spec: WindowSpec) -> None:
        self.reversion = (
            LevelReversion(spec.horizon, spec.season, name="level_reversion") if options.reversion else None
        )
        self.linear = LinearPath(spec.horizon, name="linear_path") if options.linear else None

    def __call__(self, values: Tensor, observed: Tensor, length: Tensor, center: Tensor, scale: Tensor) -> list[Tensor]:
        """Return what there is to add, each `(batch, horizon, channels)`."""
        added = [] if self.linear is None else [self.linear(values, length)]
        return added if self.reversion is None else [*added, self.reversion(values, observed, length, center, scale)]


GAIN = 3.0
"""How much larger the steps of a training are for these weights than for others."""


@keras.saving.register_keras_serializable(package="tsattn")
class LinearPath(keras.layers.Layer):
    """Each step of the horizon as a linear function of the scaled history of its channel.

    Of a short history a regression takes most of what there is to know, and takes it from few data where a network
    learns them by heart. The network beside it begins with what is left.

    A step is known by its distance from the end of the history. What is missing, or lies before a short history, counts
    as 0: where windows are centred on it, as the last value (NLinear: Zeng et al. 2023). It begins at 0.

    Args:
        horizon: steps to forecast.

    Call arguments:
        values: `(batch, context, channels)`, scaled, right-padded, 0 where missing.
        length: `(batch,)`, the number of valid steps.

    Output shape:
        `(batch, horizon, channels)`, scaled: what is added to a forecast.

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
        last = move_back(ops.cast(values, "float32"), values.shape[1] - ops.cast(length, "int32"))
        return ops.einsum("btc,cth->bhc", last, ops.convert_to_tensor(self.kernel) * GAIN)

    def compute_output_spec(self, values: Any, *args: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor((values.shape[0], self.horizon, values.shape[2]), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "horizon": self.horizon}


RATE = 0.5
"""Share of the levels that are not told in training, so that less is built on them."""

REACH = 4.0
"""Spreads from the typical level at which a level is no longer one of the series that were seen."""

GAIN_REVERSION = 10.0
"""How much larger the steps of a training are for the shares than for other weights."""


@keras.saving.register_keras_serializable(package="tsattn")
class LevelReversion(keras.layers.Layer):
    """How far each step of the horizon goes back from the recent level of a series to that of its history, and to the
    typical one of the training data.

    A window that is scaled by itself does not tell whether its level is a high one. Series that are bound to a level
    return to it, the further the longer the horizon; of those that are not, the learned shares are 0. The level of the
    history tells how far the typical one has moved since the training.

    A few months of data hold few swings of a level, so that a share that fits them promises too much. Levels are
    dropped at random in training, which for a linear share is ridge regression with a penalty of their variance, and
    halves it (Wager et al. 2013).

    A level that is further than four spreads from the typical one belongs to another series, and is left where it is;
    the effect fades on the way there.

    Args:
        horizon: steps to forecast.
        season: last steps of the history whose mean is the recent level.

    Call arguments:
        values: `(batch, context, channels)`, scaled.
        observed: the same shape, 0 where missing.
        length: `(batch,)`, the number of valid steps.
        center: `(batch, 1, channels)`, which the values were centered on.
        scale: the same shape, which they were divided by.

    Output shape:
        `(batch, horizon, channels)`, scaled: what is added to a forecast.

    Reference:
        Wager, Wang and Liang 2013, Dropout Training as Adaptive Regularization.
    """

    def __init__(self, horizon: int, season: int, **kwargs: Any) -> None:
        super().__init__(**{"autocast": False, **kwargs})
        self.horizon = horizon
        self.season = season
        self._dropout = keras.layers.Dropout(RATE, dtype="float32")
        self._history_dropout = keras.layers.Dropout(RATE, dtype="float32")

    def build(self, values_shape: Any, *other_shapes: Any) -> None:
        channels = values_shape[2]
        self.share = self._share("share", channels)
        self.history_share = self._share("history_share", channels)
        self.level = self._statistic("level", channels)
        self.spread = self._statistic("spread", channels)

    def _share(self, name: str, channels: int) -> Any:
        return self.add_weight(
            name=name,
            shape=(self.horizon, channels),
            initializer="zeros",
            constraint=keras.constraints.NonNeg(),
            dtype="float32",
        )

    def _statistic(self, name: str, channels: int) -> Any:
        return self.add_weight(
            name=name, shape=(channels,), initializer="zeros", trainable=False, dtype="float32", autocast=False
        )

    def fit(self, level: Sequence[float], spread: Sequence[float]) -> None:
        """Take the typical level of the training data and their spread, [channels] each; a spread of 0 for no level."""
        self.level.assign(list(level))
        self.spread.assign(list(spread))

    def call(
        self,
        values: Tensor,
        observed: Tensor,
        length: Tensor,
        center: Tensor,
        scale: Tensor,
        training: bool | None = None,
    ) -> Tensor:
        values, observed = ops.cast(values, "float32"), ops.cast(observed, "float32")
        length, context = ops.cast(length, "int32"), values.shape[1]
        # The JAX backend does not take a variable inside `where`.
        level, spread = ops.convert_to_tensor(self.level), ops.convert_to_tensor(self.spread)
        valid = sequence_mask(length, context)
        whole, _ = _mean(values, observed, valid)
        mean, count = _mean(values, observed, valid & ~sequence_mask(length - self.season, context))
        away = level - (center + scale * mean)
        reach = REACH * spread
        far = ops.abs(away) / ops.where(reach > 0, reach, ops.ones_like(reach))
        near = 1.0 - ops.where(reach > 0, ops.minimum(far, 1.0), ops.ones_like(far)) ** 4
        none = ops.zeros_like(away)
        to_typical = self._dropout(ops.where(count > 0, near * away / scale, none), training=training)
        to_history = self._history_dropout(ops.where(count > 0, whole - mean, none), training=training)
        share, history_share = ops.convert_to_tensor(self.share), ops.convert_to_tensor(self.history_share)
        return GAIN_REVERSION * (share * to_typical + history_share * to_history)

    def compute_output_spec(self, values: Any, *args: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor((values.shape[0], self.horizon, values.shape[2]), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "horizon": self.horizon, "season": self.season}


def _mean(values: Tensor, observed: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of what is observed at some steps, and how many these are, both `(batch, 1, channels)`.

    Args:
        values: `(batch, context, channels)`.
        observed: the same shape, 0 where missing.
        steps: `(batch, context)`, whether they count.
    """
    seen = observed * ops.cast(ops.expand_dims(steps, -1), "float32")
    count = ops.sum(seen, axis=1, keepdims=True)
    return ops.sum(values * seen, axis=1, keepdims=True) / ops.maximum(count, 1.0), count
