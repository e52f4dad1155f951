"""Quantiles that cannot cross."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import keras
import numpy.typing as npt
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.masking import Tensor


@keras.saving.register_keras_serializable(package="tsattn")
class SortedQuantiles(keras.layers.Layer):
    """Turns free numbers into ascending quantiles.

    The number at `median` is taken as it is; the levels above add, and those below subtract, a positive step each
    (softplus), so that the result is sorted by construction.

    Args:
        median: index of the level that is taken as it is.
        detach_median: whether the losses of the other levels leave the median alone: no gradient goes from them to it.

    Call arguments:
        inputs: `(..., levels)`.

    Output shape:
        The same.

    Example:
        >>> quantiles = SortedQuantiles(median=1)(keras.layers.Dense(3)(features))
    """

    def __init__(self, median: int, detach_median: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.median = median
        self.detach_median = detach_median
        self.supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        middle = inputs[..., self.median : self.median + 1]
        parts = [middle]
        middle = ops.stop_gradient(middle) if self.detach_median else middle
        if self.median > 0:
            below = ops.softplus(inputs[..., : self.median])
            parts.insert(0, middle - ops.flip(ops.cumsum(ops.flip(below, -1), -1), -1))
        if self.median < inputs.shape[-1] - 1:
            parts.append(middle + ops.cumsum(ops.softplus(inputs[..., self.median + 1 :]), -1))
        return ops.concatenate(parts, -1)

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "median": self.median, "detach_median": self.detach_median}


SUPPORTS = ("real", "positive", "count")


@keras.saving.register_keras_serializable(package="tsattn")
class CalibratedQuantiles(keras.layers.Layer):
    """Moves each quantile away from the median, or to it, by a factor of its step, channel and level.

    `q + (q_level - q) * factor`, where `q` is the median. The factors are weights that are not trained: 1 until `fit`
    sets them, as conformalised quantile regression finds them (`tsattn.evaluation.calibration`). Factors keep what the
    model knows of how sure it is, from window to window and from series to series, which an offset for all of them
    would drown. Levels on one side of the median do not cross: one that would takes the value of its neighbour. Then
    all are brought into the support.

    Args:
        median: index of the level that is the forecast, which is not moved.
        support: what values there can be: `"real"`, `"positive"` (0 or more), or `"count"` (0, 1, 2, ...).

    Call arguments:
        inputs: quantiles `(batch, horizon, channels, levels)`, ascending and in original units.

    Output shape:
        The same, float32.

    Example:
        >>> quantiles = CalibratedQuantiles(median=1)(quantiles)

    References:
        Romano et al. 2019, Conformalized Quantile Regression; Sesia and Candes 2020, A comparison of some conformal
        quantile regression methods (scaled by the width).
    """

    def __init__(self, median: int, support: str = "real", **kwargs: Any) -> None:
        # Values in original units may overflow a half-precision compute dtype.
        super().__init__(**{"autocast": False, **kwargs})
        if support not in SUPPORTS:
            raise ConfigError(f"support must be one of {', '.join(SUPPORTS)}. Received: support={support!r}")
        self.median = median
        self.support = support

    def build(self, inputs_shape: Any) -> None:
        # In float32 under every policy.
        self.factors = self.add_weight(
            name="factors", shape=inputs_shape[1:], initializer="ones", trainable=False, dtype="float32", autocast=False
        )

    def fit(self, factors: npt.ArrayLike) -> None:
        """Set the factors, `(horizon, channels, levels)`, 0 or more."""
        self.factors.assign(factors)

    def call(self, inputs: Tensor) -> Tensor:
        quantiles = ops.cast(inputs, "float32")
        middle = quantiles[..., self.median : self.median + 1]
        moved = middle + (quantiles - middle) * ops.convert_to_tensor(self.factors)[None]
        levels = [moved[..., level] for level in range(quantiles.shape[-1])]
        levels[self.median] = quantiles[..., self.median]
        for level in range(self.median + 1, len(levels)):
            levels[level] = ops.maximum(levels[level], levels[level - 1])
        for level in range(self.median - 1, -1, -1):
            levels[level] = ops.minimum(levels[level], levels[level + 1])
        return self._supported(ops.stack(levels, axis=-1))

    def between(self, quantiles: Tensor, middle: Tensor, scores: Tensor, levels: tuple[float, ...]) -> Tensor:
        """Return quantiles at any level, moved as those at the levels are and brought into the support.

        Between two levels on one side of the median the factor goes straight from the one to the other, by the normal
        score; beyond the outermost it is theirs, and so it is between the innermost and the median.

        Args:
            quantiles: `(batch, samples, horizon, channels)`.
            middle: the medians, which broadcast to that.
            scores: the normal score of the level of each, of the same shape.
            levels: those of the factors.
        """
        factors = ops.convert_to_tensor(self.factors)
        known = [NormalDist().inv_cdf(level) for level in levels]
        below, above = (
            _straight(scores, known[side], [factors[..., level] for level in range(len(levels))[side]])
            for side in (slice(self.median), slice(self.median + 1, None))
        )
        return self._supported(middle + (quantiles - middle) * ops.where(scores < 0, below, above))

    def _supported(self, values: Tensor) -> Tensor:
        if self.support == "real":
            return values
        values = ops.maximum(values, 0.0)
        return ops.round(values) if self.support == "count" else values

    def compute_mask(self, inputs: Tensor, previous_mask: Any = None) -> None:
        return None

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(inputs.shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "median": self.median, "support": self.support}


def _straight(scores: Tensor, known: list[float], factors: list[Tensor]) -> Tensor:
    """Return the factors at scores, straight between known ones; 1 where none is known."""
    if not known:
        return ops.ones_like(scores)
    made = ops.zeros_like(scores) + factors[0]
    for place in range(1, len(known)):
        share = ops.clip((scores - known[place - 1]) / (known[place] - known[place - 1]), 0.0, 1.0)
        made = made + (factors[place] - factors[place - 1]) * share
    return made
