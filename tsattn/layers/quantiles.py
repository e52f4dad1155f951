"""Quantile outputs that do not cross."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import keras
import numpy.typing as npt
from keras import ops

from tsattn.errors import ConfigError
from tsattn.layers.layer_utils import constructor_config
from tsattn.layers.ops import Tensor


@keras.saving.register_keras_serializable(package="tsattn")
class SortedQuantiles(keras.layers.Layer):
    """Maps network outputs to ascending quantiles.

    The output at index `median` is the median. Each level above adds a positive increment (softplus) to the level
    below it, and each level below subtracts one, so quantiles cannot cross. Every step is computed alone: the output
    carries the Keras mask of the input.

    Args:
        median: Index of the median.
        detach_median: Whether to stop the gradient from the other levels to the median.

    Call arguments:
        inputs: `(..., levels)`, unconstrained.

    Output shape:
        Same shape as the input.

    Example:
        >>> quantiles = SortedQuantiles(median=1)(keras.layers.Dense(3)(features))
    """

    def __init__(self, median: int, detach_median: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.median = median
        self.detach_median = detach_median
        self.supports_masking = True

    def build(self, inputs_shape: Any) -> None:
        _check_median(self.median, inputs_shape)

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
        return {**super().get_config(), **constructor_config(self, SortedQuantiles)}


def _check_median(median: int, shape: Any) -> None:
    if not 0 <= median < shape[-1]:
        raise ConfigError(
            f"median must be the index of one of the {shape[-1]} levels of the input. Received: median={median}"
        )


SUPPORTS = ("real", "positive", "count")


@keras.saving.register_keras_serializable(package="tsattn")
class CalibratedQuantiles(keras.layers.Layer):
    """Scales the distance of each quantile to the median by a factor per step, channel and level.

    `median + (q - median) * factor`. The factors are non-trainable weights, 1 until `fit` sets them, as computed by
    conformalized quantile regression (`tsattn.scoring.calibration`). Unlike an additive offset, a factor preserves how
    the width of the intervals differs between windows and series. A quantile that would cross its neighbor on the
    median's side takes the neighbor's value. Finally all quantiles are restricted to the support. Every step is
    computed alone: the output carries the Keras mask of the input.

    Args:
        median: Index of the median, which is unchanged.
        support: Possible values: `"real"`, `"positive"` (0 or more) or `"count"` (0, 1, 2, ...).

    Call arguments:
        inputs: Quantiles `(batch, horizon, channels, levels)`, ascending, in original units.

    Output shape:
        Same shape as the input, in float32.

    Example:
        >>> quantiles = CalibratedQuantiles(median=1)(quantiles)

    References:
        Romano et al. 2019, Conformalized Quantile Regression; Sesia and Candes 2020, A comparison of some conformal
        quantile regression methods (scaled by the width).
    """

    def __init__(self, median: int, support: str = "real", **kwargs: Any) -> None:
        # Values in original units can overflow in half precision, so Keras must not cast them.
        super().__init__(**{"autocast": False, **kwargs})
        if support not in SUPPORTS:
            raise ConfigError(f"support must be one of {', '.join(SUPPORTS)}. Received: support={support!r}")
        self.median = median
        self.support = support
        self.supports_masking = True

    def build(self, inputs_shape: Any) -> None:
        _check_median(self.median, inputs_shape)
        if len(inputs_shape) != 4 or None in inputs_shape[1:]:
            raise ConfigError(
                "the input of calibrated quantiles must have the shape (batch, horizon, channels, levels), known but "
                f"for the batch. Received: shape {tuple(inputs_shape)}"
            )
        # In float32 under every policy.
        self.factors = self.add_weight(
            name="factors", shape=inputs_shape[1:], initializer="ones", trainable=False, dtype="float32", autocast=False
        )

    def fit(self, factors: npt.ArrayLike) -> None:
        """Set the factors, `(horizon, channels, levels)`, 0 or more."""
        self.factors.assign(factors)

    def call(self, inputs: Tensor) -> Tensor:
        quantiles = ops.cast(inputs, "float32")
        median = quantiles[..., self.median : self.median + 1]
        scaled = median + (quantiles - median) * ops.convert_to_tensor(self.factors)[None]
        levels = [scaled[..., level] for level in range(quantiles.shape[-1])]
        levels[self.median] = quantiles[..., self.median]
        for level in range(self.median + 1, len(levels)):
            levels[level] = ops.maximum(levels[level], levels[level - 1])
        for level in range(self.median - 1, -1, -1):
            levels[level] = ops.minimum(levels[level], levels[level + 1])
        return self._restrict_to_support(ops.stack(levels, axis=-1))

    def calibrate(self, quantiles: Tensor, median: Tensor, scores: Tensor, levels: tuple[float, ...]) -> Tensor:
        """Return calibrated quantiles at arbitrary levels.

        On each side of the median, factors are interpolated linearly in the normal score, and constant beyond the
        outermost and innermost levels.

        Args:
            quantiles: `(batch, samples, horizon, channels)`.
            median: Medians, broadcastable to the quantiles.
            scores: Normal scores of the levels of the quantiles, the same shape.
            levels: Levels of the factors.
        """
        factors = ops.convert_to_tensor(self.factors)
        level_scores = [NormalDist().inv_cdf(level) for level in levels]
        below, above = (
            _interpolate(scores, level_scores[side], [factors[..., level] for level in range(len(levels))[side]])
            for side in (slice(self.median), slice(self.median + 1, None))
        )
        return self._restrict_to_support(median + (quantiles - median) * ops.where(scores < 0, below, above))

    def _restrict_to_support(self, values: Tensor) -> Tensor:
        if self.support == "real":
            return values
        values = ops.maximum(values, 0.0)
        return ops.round(values) if self.support == "count" else values

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(inputs.shape, dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **constructor_config(self, CalibratedQuantiles)}


def _interpolate(scores: Tensor, knots: list[float], factors: list[Tensor]) -> Tensor:
    """Return the factors at scores, linearly interpolated between ascending knots; 1 without knots."""
    if not knots:
        return ops.ones_like(scores)
    result = ops.zeros_like(scores) + factors[0]
    for index in range(1, len(knots)):
        fraction = ops.clip((scores - knots[index - 1]) / (knots[index] - knots[index - 1]), 0.0, 1.0)
        result = result + (factors[index] - factors[index - 1]) * fraction
    return result
