"""The way back to a level that is known from the training data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from tsattn.layers.masking import Tensor, sequence_mask

RATE = 0.5
"""Share of the levels that are not told in training, so that less is built on them."""

REACH = 4.0
"""Spreads from the typical level at which a level is no longer one of the series that were seen."""

GAIN = 10.0
"""How much larger the steps of a training are for the shares than for other weights."""


@keras.saving.register_keras_serializable(package="tsattn")
class LevelReversion(keras.layers.Layer):
    """How far each step of the horizon goes back from the recent level of a series to its typical one.

    A window that is scaled by itself does not tell whether its level is a high one. Series that are bound to a level
    return to it, the further the longer the horizon; of those that are not, the learned share is 0.

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

    def build(self, values_shape: Any, *other_shapes: Any) -> None:
        channels = values_shape[2]
        self.share = self.add_weight(
            name="share",
            shape=(self.horizon, channels),
            initializer="zeros",
            constraint=keras.constraints.NonNeg(),
            dtype="float32",
        )
        self.level = self._statistic("level", channels)
        self.spread = self._statistic("spread", channels)

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
        recent = sequence_mask(length, context) & ~sequence_mask(length - self.season, context)
        seen = observed * ops.cast(ops.expand_dims(recent, -1), "float32")
        count = ops.sum(seen, axis=1, keepdims=True)
        mean = ops.sum(values * seen, axis=1, keepdims=True) / ops.maximum(count, 1.0)
        away = level - (center + scale * mean)
        reach = REACH * spread
        far = ops.abs(away) / ops.where(reach > 0, reach, ops.ones_like(reach))
        near = 1.0 - ops.where(reach > 0, ops.minimum(far, 1.0), ops.ones_like(far)) ** 4
        told = ops.where(count > 0, near * away / scale, ops.zeros_like(away))
        return ops.convert_to_tensor(self.share) * GAIN * self._dropout(told, training=training)

    def compute_output_spec(self, values: Any, *args: Any, **kwargs: Any) -> Any:
        return keras.KerasTensor((values.shape[0], self.horizon, values.shape[2]), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "horizon": self.horizon, "season": self.season}
